//! A large range, a page at a time, all of it as it was at one revision.

use std::sync::Arc;

use super::operation::{Answer, Operation};
use super::{Client, mismatch};
use crate::error::{Error, Result};
use crate::model::{Body, RangeRequest, Request, SortBy};
use crate::wait::{Cancel, Deadline};

/// How many keys a page has unless the request says otherwise.
const PAGE: i64 = 1000;

/// The pages of a range.
pub struct Pages {
    client: Client,
    /// The next page; `None` when there was the last one.
    next: Option<RangeRequest>,
    /// How many keys the range has, once that is known.
    count: Option<i64>,
}

impl Client {
    /// The pages of a range, in the order of its keys. The limit of the range is that of a page.
    ///
    /// # Errors
    /// `InvalidArgument` for anything else than a range that is read in that order.
    pub fn pages(&self, operation: &Operation) -> Result<Pages> {
        let range = match operation {
            Operation::Request(request) => match &**request {
                Request::Range(range) => Some(range.clone()),
                _ => None,
            },
            _ => None,
        };
        let in_order =
            |range: &RangeRequest| range.sort_by == SortBy::Key && !range.descending && !range.count_only;
        let Some(mut range) = range.filter(in_order) else {
            return Err(Error::invalid("only a get that neither sorts nor counts has pages"));
        };
        if range.limit == 0 {
            range.limit = PAGE;
        }
        Ok(Pages { client: self.clone(), next: Some(range), count: None })
    }
}

impl Pages {
    /// The next page; `None` after the last one.
    ///
    /// # Errors
    /// As [`Client::run`]; the same page is read again then.
    pub fn next(&mut self, deadline: Deadline, cancel: &Cancel) -> Result<Option<Answer>> {
        let Some(range) = &mut self.next else { return Ok(None) };
        let operation = Operation::Request(Arc::new(Request::Range(range.clone())));
        let answer = self.client.run(&operation, deadline, cancel)?;
        let Answer::Reply(mut reply) = answer else { return Err(Error::closed()) };
        let Body::Range(found) = &mut reply.body else { return Err(mismatch(&reply.body)) };
        if range.revision == 0 {
            range.revision = reply.header.revision;
        }
        reply.header.revision = range.revision;
        found.count = *self.count.get_or_insert(found.count);
        match found.kvs.last().filter(|_| found.more) {
            // The first key behind it.
            Some(last) => range.range.start = [&last.key[..], b"\0"].concat(),
            None => self.next = None,
        }
        Ok(Some(Answer::Reply(reply)))
    }
}
