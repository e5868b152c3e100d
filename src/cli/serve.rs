//! `sekisho serve`: the daemon in the foreground. SIGHUP reloads, SIGTERM and SIGINT stop.

use std::path::{Path, PathBuf};

use tokio::signal::unix::{SignalKind, signal};

use crate::cli::{DEFAULT_CONFIG, DEFAULT_STATE, exit};
use crate::config::Config;
use crate::config::load::LoadError;
use crate::daemon::{Daemon, StartError};
use crate::formats::Format;
use crate::systemd::{self, Sockets};
use crate::telemetry::Telemetry;

/// `sekisho serve`
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The configuration [default: /etc/sekisho/sekisho.toml, or the built-in defaults if that does not exist]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where spool, quarantine and lock are
    #[arg(long, value_name = "FOLDER", default_value = DEFAULT_STATE)]
    state_dir: PathBuf,
}

/// Runs until a signal ends it; returns the exit status.
pub fn run(arguments: &Arguments, formats: &'static [Format]) -> u8 {
    // First of all: nothing else may have taken the descriptors' numbers.
    let passed = Sockets::passed();
    let telemetry = Telemetry::start();
    let config = match load(arguments.config.as_deref()) {
        Ok(config) => config,
        Err(status) => {
            systemd::failed("the configuration cannot be used; `sekisho check` shows every mistake");
            tracing::error!(
                "not started: the configuration cannot be used; `sekisho check` shows every mistake in its line"
            );
            return status;
        }
    };
    if let Err(error) = telemetry.configure(&config.log) {
        tracing::error!("{error}");
        return exit::CONFIG;
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(%error, "no threads can be started");
            return exit::SOFTWARE;
        }
    };
    let status = runtime.block_on(serve(config, arguments, passed, &telemetry, formats));
    // A scan that does not end must not keep the process.
    runtime.shutdown_background();
    status
}

async fn serve(
    config: Config,
    arguments: &Arguments,
    passed: Sockets,
    telemetry: &Telemetry,
    formats: &'static [Format],
) -> u8 {
    let signals = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()), signal(SignalKind::hangup()));
    let (Ok(mut terminate), Ok(mut interrupt), Ok(mut hangup)) = signals else {
        tracing::error!("signals cannot be received");
        return exit::SOFTWARE;
    };
    let daemon = match Daemon::start(config, &arguments.state_dir, passed, formats).await {
        Ok(daemon) => daemon,
        Err(error) => {
            tracing::error!("{error}");
            systemd::failed(&error.to_string());
            return match error {
                StartError::State(..) | StartError::Running(_) | StartError::Quarantine(_) | StartError::Copies(_) => {
                    exit::CANNOT_CREATE
                }
                StartError::Listen(..) | StartError::Systemd(_) | StartError::Workers(_) => exit::UNAVAILABLE,
                StartError::Circle(..) => exit::CONFIG,
            };
        }
    };
    tokio::spawn(systemd::feed_watchdog(daemon.vital().clone()));
    systemd::ready(&daemon.summary());
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            _ = hangup.recv() => reload(&daemon, arguments.config.as_deref(), telemetry),
        }
    }
    systemd::stopping(&format!("finishing {} sessions", daemon.sessions()));
    daemon.stop().await;
    exit::OK
}

/// A bad file leaves the old configuration in force.
fn reload(daemon: &Daemon, path: Option<&Path>, telemetry: &Telemetry) {
    systemd::reloading();
    let applied = load(path).map_err(|_| ()).and_then(|config| {
        telemetry.configure(&config.log).map_err(|error| tracing::error!("{error}"))?;
        Ok(config)
    });
    match applied {
        Ok(config) => {
            daemon.reload(config);
            systemd::ready(&daemon.summary());
        }
        Err(()) => {
            systemd::ready("the file has errors (see the log): the configuration from before the reload runs on");
            daemon.reload_failed();
            tracing::error!(
                "the new configuration cannot be used: the old one runs on; mend the file and reload again"
            );
        }
    }
}

/// Reads the configuration and logs every mistake in it.
fn load(path: Option<&Path>) -> Result<Config, u8> {
    let path = match path {
        Some(path) => path,
        None if !Path::new(DEFAULT_CONFIG).exists() => return Ok(Config::default()),
        None => Path::new(DEFAULT_CONFIG),
    };
    match Config::load(path) {
        Ok((config, warnings)) => {
            for warning in warnings.iter() {
                tracing::warn!("{}", warning.line_for_log());
            }
            Ok(config)
        }
        Err(LoadError::Invalid(diagnostics)) => {
            for diagnostic in diagnostics.iter() {
                tracing::error!("{}", diagnostic.line_for_log());
            }
            Err(exit::CONFIG)
        }
        Err(error @ LoadError::Unreadable { .. }) => {
            tracing::error!("{error}");
            Err(exit::NO_INPUT)
        }
    }
}
