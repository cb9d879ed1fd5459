//! Colours, on terminals only.

use anstream::stream::RawStream;
use anstream::{AutoStream, ColorChoice};
use clap::builder::styling::{AnsiColor, Style};

/// What an error begins with.
pub const ERROR: Style = AnsiColor::Red.on_default().bold();
/// The first line of a table.
pub const HEADER: Style = Style::new().bold();
/// A key in a list of several.
pub const KEY: Style = AnsiColor::Cyan.on_default();

/// To be called once, before anything is printed.
pub fn init() {
    // Without this, a dumb terminal in CI would get colours.
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    if dumb && std::env::var_os("CLICOLOR_FORCE").is_none() {
        ColorChoice::Never.write_global();
    }
}

/// `text` in a style, if the stream it is meant for shows it: a terminal, unless `NO_COLOR` is set, or
/// whatever it is when `CLICOLOR_FORCE` is. clap decides for its help in the same way.
pub fn paint(style: Style, text: &[u8], stream: &impl RawStream) -> Vec<u8> {
    if AutoStream::choice(stream) == ColorChoice::Never {
        return text.to_vec();
    }
    [style.render().to_string().as_bytes(), text, style.render_reset().to_string().as_bytes()].concat()
}
