//! Logging in: a token for the client's user, shared by all its calls and got anew when it is over.

use std::sync::Arc;

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
    /// Nobody has logged in yet, or the token with this number was not good any more.
    LoggedOut(u64),
    /// A call is logging in; the others wait for it.
    LoggingIn,
    LoggedIn(Token),
}

impl Auth {
    /// Reads the password, if there is one.
    pub fn open(options: &Options) -> Result<Self> {
        let password = options.read_password()?;
        let state = Monitor::new(State::LoggedOut(0));
        Ok(Auth { user: options.user.clone(), password, state })
    }

    /// Whether there is a user to log in as.
    pub fn has_user(&self) -> bool {
        !self.user.is_empty()
    }

    /// The token to send; logs in at `endpoint` when there is none.
    pub fn token(&self, endpoint: &Endpoint, context: &Context) -> Result<Token> {
        if !self.has_user() {
            return Ok(Token::default());
        }
        let claim = |state: &mut State| match state {
            State::LoggedIn(token) => Some(Ok(token.clone())),
            State::LoggingIn => None,
            State::LoggedOut(number) => {
                let number = *number + 1;
                *state = State::LoggingIn;
                Some(Err(number))
            }
        };
        match self.state.wait(context.deadline, context.cancel, claim) {
            Ok(Ok(token)) => Ok(token),
            Ok(Err(number)) => self.log_in(endpoint, context, number),
            Err(Interrupted::Canceled) => Err(Error::closed()),
            Err(Interrupted::Timeout) => Err(Error::new(ErrorKind::Timeout, "not logged in in time")),
        }
    }

    /// A request with this token was refused for its sake: the next one logs in again.
    pub fn forget(&self, token: &Token) {
        self.state.update(|state| match state {
            State::LoggedIn(current) if current.number == token.number => {
                *state = State::LoggedOut(token.number);
            }
            _ => {}
        });
    }

    fn log_in(&self, endpoint: &Endpoint, context: &Context, number: u64) -> Result<Token> {
        // Should this panic, the others must not wait for ever.
        let mut back = GiveBack { auth: self, number, token: None };
        let request = Request::Authenticate { user: self.user.clone(), password: self.password.clone() };
        let secret = match endpoint.transport.call(&request, context).map(|reply| reply.body) {
            Ok(Body::Token(secret)) => Some(Arc::new(secret)),
            Ok(_) => return Err(Error::new(ErrorKind::BadReply, "a reply of another kind")),
            // Servers that know no users take all requests.
            Err(error) if error.fault().contains("authentication is not enabled") => None,
            // Whatever becomes of this, the caller's own request was not sent.
            Err(error) => return Err(error.outcome_is(Outcome::NotSent).during(request.describe())),
        };
        let token = Token { secret, number };
        back.token = Some(token.clone());
        Ok(token)
    }
}

/// Ends the state of logging in, whichever way it went.
struct GiveBack<'a> {
    auth: &'a Auth,
    number: u64,
    token: Option<Token>,
}

impl Drop for GiveBack<'_> {
    fn drop(&mut self) {
        let after = match self.token.take() {
            Some(token) => State::LoggedIn(token),
            None => State::LoggedOut(self.number),
        };
        self.auth.state.update(|state| *state = after);
    }
}
