//! Logging in: a token for the client's user, shared by all its calls and got anew when it is over.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::call::Failed;
use super::endpoints::Endpoint;
use crate::error::{Error, ErrorKind, Outcome, Result};
use crate::log;
use crate::model::{Body, Request};
use crate::options::{Options, Secret};
use crate::transport::Context;
use crate::wait::{Interrupted, Missed, Single};

/// The client's user, and the token that stands for it.
pub struct Auth {
    user: String,
    password: Secret,
    /// A token that was given from outside, and is never got anew.
    given: Option<Secret>,
    token: Single<Token>,
    logins: AtomicU64,
}

/// The token that a request was sent with.
#[derive(Clone, Default)]
pub struct Token {
    /// `None` where the servers ask for none.
    secret: Option<Arc<Secret>>,
    /// Counts the tokens, so that one that failed is told from the one that another call got meanwhile.
    number: u64,
}

impl Token {
    /// What requests carry.
    pub fn secret(&self) -> Option<&Secret> {
        self.secret.as_deref()
    }
}

impl Auth {
    /// Reads the password or token, if there is one.
    pub fn open(options: &Options) -> Result<Self> {
        let password = options.read_password()?;
        let given = Some(options.read_token()?).filter(|token| !token.is_empty());
        let (token, logins) = (Single::default(), AtomicU64::new(0));
        Ok(Auth { user: options.user.clone(), password, given, token, logins })
    }

    /// The token that was given from outside.
    pub fn given(&self) -> Option<&Secret> {
        self.given.as_ref()
    }

    /// Whether there is a user to log in as.
    pub fn has_user(&self) -> bool {
        !self.user.is_empty()
    }

    /// The token to send, if there is one already.
    pub fn peek(&self) -> Option<Token> {
        self.token.peek()
    }

    /// The token to send; logs in at `endpoint` when there is none.
    pub fn token(&self, endpoint: &Endpoint, context: &Context) -> std::result::Result<Token, Failed> {
        if let Some(token) = self.token.peek() {
            return Ok(token);
        }
        let log_in = || Ok(Token { secret: self.ask(endpoint, context)?, number: self.logins() });
        let failed = |error, elsewhere| Failed { error, token: None, elsewhere };
        self.token.get(context.deadline, context.cancel, log_in).map_err(|missed| match missed {
            Missed::Own(error) => failed(error, false),
            Missed::Theirs(error) => failed(error, true),
            Missed::Interrupted(Interrupted::Canceled) => failed(Error::closed(), true),
            Missed::Interrupted(Interrupted::Timeout) => {
                failed(Error::new(ErrorKind::Timeout, "not logged in in time"), true)
            }
        })
    }

    fn logins(&self) -> u64 {
        self.logins.fetch_add(1, Ordering::Relaxed)
    }

    /// A request with this token was refused for its sake: the next one logs in again.
    pub fn forget(&self, token: &Token) {
        self.token.forget(|current| current.number == token.number);
    }

    /// The server's answer: a token, or none where it knows no users.
    fn ask(&self, endpoint: &Endpoint, context: &Context) -> Result<Option<Arc<Secret>>> {
        let request = Request::Authenticate { user: self.user.clone(), password: self.password.clone() };
        match endpoint.transport.call(&request, context).map(|reply| reply.body) {
            Ok(Body::Token(secret)) => {
                log::info!("logged in as {:?} at {}", self.user, endpoint.name);
                Ok(Some(Arc::new(secret)))
            }
            Ok(_) => Err(Error::new(ErrorKind::BadReply, "a reply of another kind")),
            Err(error) if error.fault().contains("authentication is not enabled") => Ok(None),
            // Whatever becomes of this, the caller's own request was not sent.
            Err(error) => Err(error.outcome_is(Outcome::NotSent).during(request.describe())),
        }
    }
}
