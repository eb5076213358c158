//! A command whose outputs are terminals of a certain width.

use std::process::Command;

use super::program::run_by;

/// Runs a command with a terminal for each output, and writes the bytes that each got to a file.
const ON_TERMINALS: &str = r#"
import fcntl, os, pty, struct, subprocess, sys, termios, threading
columns, files, words = int(sys.argv[1]), sys.argv[2:4], sys.argv[4:]
def terminal():
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    settings = termios.tcgetattr(theirs)
    settings[1] &= ~termios.OPOST
    termios.tcsetattr(theirs, termios.TCSANOW, settings)
    return ours, theirs
def drain(ours, name):
    with open(name, "wb") as file:
        while True:
            try:
                got = os.read(ours, 65536)
            except OSError:
                return
            if not got:
                return
            file.write(got)
pairs = [terminal(), terminal()]
command = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=pairs[0][1], stderr=pairs[1][1])
for _, theirs in pairs:
    os.close(theirs)
readers = [threading.Thread(target=drain, args=(ours, name)) for (ours, _), name in zip(pairs, files)]
for reader in readers:
    reader.start()
status = command.wait()
for reader in readers:
    reader.join()
sys.exit(status)
"#;

/// What a command showed on its terminals.
pub struct Shown {
    pub status: Option<i32>,
    pub results: String,
    pub messages: String,
}

/// Runs a command on terminals that have this many columns.
pub fn on_terminal(command: &Command, columns: usize) -> Shown {
    let folder = tempfile::tempdir().expect("a folder");
    let files = ["results", "messages"].map(|name| folder.path().join(name));
    let mut python = Command::new("python3");
    python.args(["-c", ON_TERMINALS, &columns.to_string()]).args(&files);
    let mut python = run_by(python, command);
    if let Some(folder) = command.get_current_dir() {
        python.current_dir(folder);
    }
    let output = python.output().expect("Python starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.is_empty(), "{said}");
    let [results, messages] = files.map(|file| {
        let bytes = std::fs::read(file).expect("what a terminal got");
        String::from_utf8(bytes).expect("text")
    });
    Shown {
        status: output.status.code(),
        results,
        messages,
    }
}

impl Shown {
    /// The progress bars that were drawn on stderr, one after the other.
    pub fn bars(&self) -> Vec<String> {
        let is_bar = |character: &char| matches!(character, '░' | '█');
        let mut bars: Vec<String> = Vec::new();
        let mut before = '\r';
        for character in without_escapes(&self.messages).chars() {
            // Each bar begins its line. The line before it is filled up with blanks and has no line feed.
            if is_bar(&character) && !is_bar(&before) {
                bars.push(String::new());
            }
            if let Some(bar) = bars.last_mut().filter(|bar| !bar.ends_with('\n')) {
                bar.push(if character == '\r' { '\n' } else { character });
            }
            before = character;
        }
        bars.iter().map(|bar| bar.trim_end().to_owned()).collect()
    }
}

/// A text without the sequences that move a cursor or set a colour.
fn without_escapes(text: &str) -> String {
    let mut parts = text.split("\u{1b}[");
    let mut shown = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find(|letter: char| letter.is_ascii_alphabetic());
        // Each sequence is taken for a new line: it may have moved the cursor.
        shown.push('\r');
        shown.push_str(end.map_or("", |end| &part[end + 1..]));
    }
    shown
}
