//! Logging in: a token for the client's user, shared by all its calls and got anew when it is over.

use std::sync::Arc;

use super::call::Failed;
use super::endpoints::Endpoint;
use crate::error::{Error, ErrorKind, Outcome, Result};
use crate::model::{Body, Request};
use crate::options::{Options, Secret};
use crate::transport::Context;
use crate::wait::{Interrupted, Monitor};

/// The client's user, and the token that stands for it.
pub struct Auth {
    user: String,
    password: Secret,
    state: Monitor<State>,
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

enum State {
    /// Nobody has logged in yet, the token with this number was not good any more, or the last login failed.
    LoggedOut {
        number: u64,
        failed: Option<Error>,
    },
    /// A call is logging in; the others wait for it, and share in how it ends.
    LoggingIn,
    LoggedIn(Token),
}

impl Auth {
    /// Reads the password, if there is one.
    pub fn open(options: &Options) -> Result<Self> {
        let password = options.read_password()?;
        let state = Monitor::new(State::LoggedOut { number: 0, failed: None });
        Ok(Auth { user: options.user.clone(), password, state })
    }

    /// Whether there is a user to log in as.
    pub fn has_user(&self) -> bool {
        !self.user.is_empty()
    }

    /// The token to send; logs in at `endpoint` when there is none.
    pub fn token(&self, endpoint: &Endpoint, context: &Context) -> std::result::Result<Token, Failed> {
        let failed = |error, elsewhere| Failed { error, token: None, elsewhere };
        let mut waited = false;
        let claim = |state: &mut State| match state {
            State::LoggedIn(token) => Some(Claim::Token(token.clone())),
            State::LoggingIn => {
                waited = true;
                None
            }
            // As many wrong passwords as there are threads would look like an attack.
            State::LoggedOut { failed: Some(error), .. } if waited => Some(Claim::Failure(error.clone())),
            State::LoggedOut { number, .. } => {
                let number = *number + 1;
                *state = State::LoggingIn;
                Some(Claim::LogIn(number))
            }
        };
        match self.state.wait(context.deadline, context.cancel, claim) {
            Ok(Claim::Token(token)) => Ok(token),
            Ok(Claim::Failure(error)) => Err(failed(error, true)),
            Ok(Claim::LogIn(number)) => {
                self.log_in(endpoint, context, number).map_err(|error| failed(error, false))
            }
            Err(Interrupted::Canceled) => Err(failed(Error::closed(), true)),
            Err(Interrupted::Timeout) => {
                Err(failed(Error::new(ErrorKind::Timeout, "not logged in in time"), true))
            }
        }
    }

    /// A request with this token was refused for its sake: the next one logs in again.
    pub fn forget(&self, token: &Token) {
        self.state.update(|state| match state {
            State::LoggedIn(current) if current.number == token.number => {
                *state = State::LoggedOut { number: token.number, failed: None };
            }
            _ => {}
        });
    }

    fn log_in(&self, endpoint: &Endpoint, context: &Context, number: u64) -> Result<Token> {
        // Should this panic, the others must not wait for ever.
        let mut back = GiveBack { auth: self, after: Some(State::LoggedOut { number, failed: None }) };
        let result = self.ask(endpoint, context).map(|secret| Token { secret, number });
        back.after = Some(match &result {
            Ok(token) => State::LoggedIn(token.clone()),
            Err(error) => State::LoggedOut { number, failed: Some(error.clone()) },
        });
        result
    }

    /// The server's answer: a token, or none where it knows no users.
    fn ask(&self, endpoint: &Endpoint, context: &Context) -> Result<Option<Arc<Secret>>> {
        let request = Request::Authenticate { user: self.user.clone(), password: self.password.clone() };
        match endpoint.transport.call(&request, context).map(|reply| reply.body) {
            Ok(Body::Token(secret)) => Ok(Some(Arc::new(secret))),
            Ok(_) => Err(Error::new(ErrorKind::BadReply, "a reply of another kind")),
            Err(error) if error.fault().contains("authentication is not enabled") => Ok(None),
            // Whatever becomes of this, the caller's own request was not sent.
            Err(error) => Err(error.outcome_is(Outcome::NotSent).during(request.describe())),
        }
    }
}

/// What a call finds when it wants a token.
enum Claim {
    Token(Token),
    /// It is to log in, for the token with this number.
    LogIn(u64),
    /// The login that it waited for failed.
    Failure(Error),
}

/// Ends the state of logging in, whichever way it went.
struct GiveBack<'a> {
    auth: &'a Auth,
    after: Option<State>,
}

impl Drop for GiveBack<'_> {
    fn drop(&mut self) {
        let after = self.after.take();
        self.auth.state.update(|state| after.into_iter().for_each(|after| *state = after));
    }
}
