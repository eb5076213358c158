//! The terminal: it is taken over while the screen is shown, and restored whatever happens.

use std::io::{self, Stdout, stdout};
use std::panic;
use std::sync::Once;
use std::time::{Duration, Instant};

use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::Show;
use ratatui::crossterm::event::{self, Event};
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode};

use crate::top::draw::{Navigation, draw};
use crate::top::lines::Palette;
use crate::top::screen::StatusScreen;

/// How often a signal and the answers are looked at.
const TICK: Duration = Duration::from_millis(100);

/// The answers are drawn anew so often, as ages grow.
const REDRAW: Duration = Duration::from_millis(500);

/// A terminal that shows the screen. It is restored when this is dropped.
struct TakenTerminal(Terminal<CrosstermBackend<Stdout>>);

impl TakenTerminal {
    fn new() -> io::Result<Self> {
        restore_on_panic();
        // From here on it is restored, also if a step fails.
        let taken = Self(Terminal::new(CrosstermBackend::new(stdout()))?);
        enable_raw_mode()?;
        execute!(stdout(), EnterAlternateScreen)?;
        Ok(taken)
    }
}

impl Drop for TakenTerminal {
    fn drop(&mut self) {
        restore();
    }
}

/// Leaves the terminal as it was. A terminal that is gone cannot be restored.
fn restore() {
    let _ = disable_raw_mode();
    let _ = execute!(stdout(), LeaveAlternateScreen, Show);
}

/// The message of a panic would be lost on the screen, and the terminal would stay as it is.
fn restore_on_panic() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            restore();
            before(panic);
        }));
    });
}

/// Shows what `screen` returns until a key or `stops` ends it.
///
/// # Errors
/// The terminal cannot be read or written.
pub fn show(mut screen: impl FnMut() -> StatusScreen, stops: impl Fn() -> bool, palette: Palette) -> io::Result<()> {
    let mut taken = TakenTerminal::new()?;
    let mut navigation = Navigation::default();
    let mut drawn: Option<Instant> = None;
    while !stops() {
        if drawn.is_none_or(|drawn| drawn.elapsed() >= REDRAW) {
            let now = screen();
            taken.0.draw(|frame| draw(frame, &now, &mut navigation, palette))?;
            drawn = Some(Instant::now());
        }
        if !event::poll(TICK)? {
            continue;
        }
        // All keys that are typed already, then one drawing.
        while event::poll(Duration::ZERO)? {
            if let Event::Key(key) = event::read()?
                && navigation.key(key)
            {
                return Ok(());
            }
        }
        drawn = None;
    }
    Ok(())
}
