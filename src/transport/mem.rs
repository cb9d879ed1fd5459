//! `mem://`: the embedded store as an endpoint.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, Weak};

use super::{Context, Transport, WatchStream};
use crate::error::Result;
use crate::model::{Reply, Request, WatchRequest, WatchSink};
use crate::store::Store;
use crate::sys::PerProcess;
use crate::wait::lock;

/// The stores that sessions of this process share by name; each lives as long as one of them.
static SHARED: PerProcess<Mutex<BTreeMap<String, Weak<Store>>>> = PerProcess::new();

/// A session's way to its store.
pub struct Mem {
    /// There until it is dropped.
    store: Option<Arc<Store>>,
}

impl Mem {
    /// The store `name` of this process; without a name, one of the caller's own.
    pub fn open(name: &str) -> Self {
        if name.is_empty() {
            return Mem { store: Some(Arc::new(Store::new("mem"))) };
        }
        let mut shared = lock(SHARED.get());
        let store = shared.get(name).and_then(Weak::upgrade).unwrap_or_else(|| {
            let store = Arc::new(Store::new(name));
            shared.insert(name.into(), Arc::downgrade(&store));
            store
        });
        Mem { store: Some(store) }
    }

    fn store(&self) -> &Arc<Store> {
        self.store.as_ref().expect("only drop takes it")
    }
}

impl Drop for Mem {
    fn drop(&mut self) {
        self.store = None;
        lock(SHARED.get()).retain(|_, store| store.strong_count() > 0);
    }
}

impl Transport for Mem {
    fn call(&self, request: &Request, _: &Context) -> Result<Reply> {
        self.store().apply(request)
    }

    fn watch(&self, request: &WatchRequest, sink: WatchSink, _: &Context) -> Result<WatchStream> {
        let (revision, watching) = Store::watch(self.store(), request, sink)?;
        Ok(WatchStream { revision, guard: Box::new(watching) })
    }
}
