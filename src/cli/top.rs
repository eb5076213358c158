//! `softstake top`: the instances of a deployment on one screen.

use std::io::{self, IsTerminal};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, SystemTime};

use crate::cli::colours::has_colours;
use crate::cli::flags::tell_notice;
use crate::cli::outcome::{Failure, Outcome};
use crate::cli::output::{Output, write_line};
use crate::cli::signals;
use crate::config::{Key, Loaded};
use crate::core::values::time::timestamp;
use crate::instances::{InstanceAddress, InstancePoll, PollSettings};
use crate::top::compose::compose;
use crate::top::draw::as_text;
use crate::top::screen::StatusScreen;
use crate::top::{Palette, terminal};

/// Watch the instances of a deployment in the terminal: troubles, lags, epochs, seals and disks
#[derive(Debug, clap::Args)]
#[command(after_help = "\
It asks each instance for /status (`monitor.listen`) and changes nothing. Keys: 0 to 6 for the sections, arrows to scroll, q to quit.
Without a terminal, it prints the screen once. Status 1 if no instance answers then.

Example:
  softstake top 10.0.0.7:9464 10.0.0.8:9464
  softstake top softstake:9464 --once > ticket.txt")]
pub(super) struct Top {
    /// The instances, as host:port or URL; all addresses of a name are asked [default: `monitor.listen` of the configuration]
    #[arg(value_name = "HOST:PORT|URL")]
    instances: Vec<InstanceAddress>,
    /// The configuration to read: a TOML file
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print the screen once as plain text, with all rows
    #[arg(long)]
    once: bool,
    /// The time between two questions
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = interval)]
    interval: Duration,
    /// How long an instance may take to answer
    #[arg(long, value_name = "TIME", default_value = "3s", value_parser = interval)]
    timeout: Duration,
}

fn interval(text: &str) -> Result<Duration, String> {
    let time = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    let allowed = Duration::from_millis(100)..=Duration::from_secs(3_600);
    if allowed.contains(&time) {
        Ok(time)
    } else {
        Err("must be from 100ms to 1h".into())
    }
}

impl Top {
    pub(super) fn run(self, out: &mut Output<'_>) -> Outcome {
        let settings = PollSettings {
            addresses: self.addresses()?,
            interval: self.interval,
            timeout: self.timeout,
        };
        let poll = Arc::new(InstancePoll::new(settings).map_err(Failure::Failed)?);
        let is_dumb = std::env::var_os("TERM").is_some_and(|name| name == "dumb");
        if self.once || is_dumb || !io::stdout().is_terminal() {
            once(&poll, out)
        } else {
            watch(&poll)
        }
    }

    fn addresses(&self) -> Result<Vec<InstanceAddress>, Failure> {
        if !self.instances.is_empty() {
            return Ok(self.instances.clone());
        }
        let loaded = Loaded::of_process(self.config.as_deref(), &[])?;
        tell_notice(&loaded);
        let usage = |what: &str| {
            Failure::Usage(format!(
                "{what}: name the instances, as in `softstake top 10.0.0.7:9464`"
            ))
        };
        let Some(listen) = loaded.config.monitor.listen else {
            return Err(usage(&format!(
                "no instance is given, and `{}` is not set",
                Key::MonitorListen.name()
            )));
        };
        if listen.port() == 0 {
            return Err(usage(&format!(
                "`{}` has port 0, which is any free one",
                Key::MonitorListen.name()
            )));
        }
        let address = reachable(listen).to_string().parse();
        Ok(vec![address.map_err(|error: String| Failure::Failed(error))?])
    }
}

/// An address that answers, for one to listen on: `0.0.0.0` is all addresses of the machine.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

fn screen(poll: &InstancePoll) -> StatusScreen {
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    let whole_seconds = i128::from(now.as_secs()).saturating_mul(1_000);
    let clock = timestamp(whole_seconds).replace(".000Z", "Z");
    compose(&poll.samples(), &clock)
}

fn once(poll: &InstancePoll, out: &mut Output<'_>) -> Outcome {
    poll.once().map_err(Failure::Failed)?;
    for line in as_text(&screen(poll), out.columns()) {
        write_line!(out, "{line}")?;
    }
    if poll.samples().iter().any(|sample| sample.status().is_some()) {
        return Ok(());
    }
    Err(Failure::Failed("no instance answers: the reasons are above".into()))
}

fn watch(poll: &Arc<InstancePoll>) -> Outcome {
    let stop = signals::stop_on_signals(0)?;
    let polling = poll.start().map_err(Failure::Failed)?;
    let palette = if has_colours(&io::stdout()) {
        Palette::Colours
    } else {
        Palette::NoColours
    };
    let stops = || stop.load(Relaxed) || polling.is_finished();
    terminal::show(|| screen(poll), stops, palette)
        .map_err(|error| Failure::Failed(format!("cannot use this terminal: {error}; --once prints the screen")))?;
    match polling.is_finished() {
        true => Err(Failure::Failed(
            "the instances are not asked any more: a thread ended".into(),
        )),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_to_listen_on_is_asked_where_it_answers() {
        for (listen, expected) in [
            ("0.0.0.0:9464", "127.0.0.1:9464"),
            ("[::]:9464", "[::1]:9464"),
            ("10.0.0.7:9464", "10.0.0.7:9464"),
        ] {
            assert_eq!(reachable(listen.parse().unwrap()).to_string(), expected);
        }
    }

    #[test]
    fn times_have_bounds() {
        assert_eq!(interval("500ms"), Ok(Duration::from_millis(500)));
        for text in ["0s", "99ms", "2h", "x", "-1s"] {
            assert!(interval(text).is_err(), "{text}");
        }
    }
}
