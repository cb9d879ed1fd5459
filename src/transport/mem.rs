//! `mem://`: the embedded store as an endpoint.

use std::sync::Arc;

use super::{Abandon, Context, Taker, Transport, WatchStream};
use crate::error::Result;
use crate::model::{Reply, Request, WatchRequest, WatchSink};
use crate::store::Store;

/// A session's way to its store.
pub struct Mem(Arc<Store>);

impl Mem {
    /// The store `name` of this process; without a name, one of the caller's own.
    pub fn open(name: &str) -> Self {
        Mem(Store::open(name))
    }
}

impl Transport for Mem {
    fn call(&self, request: &Request, _: &Context) -> Result<Reply> {
        self.0.apply(request)
    }

    fn submit(
        &self,
        request: &Arc<Request>,
        _: &Context,
        taker: Taker,
    ) -> std::result::Result<Abandon, Taker> {
        taker(self.0.apply(request));
        Ok(Box::new(|| {}))
    }

    fn watch(&self, request: &WatchRequest, sink: WatchSink, _: &Context) -> Result<WatchStream> {
        let (header, watching) = Store::watch(&self.0, request, sink)?;
        Ok(WatchStream { header, guard: Box::new(watching) })
    }
}
