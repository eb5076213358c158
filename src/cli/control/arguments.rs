//! The control events that can be written, as subcommands.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::cli::flags::ControlFlags;
use crate::core::values::asset::Asset;
use crate::core::values::ids::Epoch;

#[derive(Debug, Subcommand)]
pub(super) enum ControlEventCommand {
    /// List an asset, or change its programme
    #[command(after_help = "\
The file is TOML or JSON, as `softstake check --programme` reads it.

Example:
  softstake control list atom.toml --bus dir:bus")]
    List {
        /// The listing or change; - for standard input
        file: PathBuf,
        #[command(flatten)]
        flags: ControlFlags,
    },
    /// Close an epoch, so that it is settled and paid
    #[command(after_help = "\
With --state, the command shows first what the close would pay.

Example:
  softstake control close ATOM 12 --pool 150 --bus dir:bus --state state")]
    Close {
        /// The asset
        asset: Asset,
        /// The epoch
        epoch: Epoch,
        /// The reward pool, in the reward asset [default: 0]
        #[arg(long, value_name = "AMOUNT")]
        pool: Option<String>,
        /// The yearly rate for this epoch, in place of the programme's: 0.05 is 5 %
        #[arg(long, value_name = "RATE")]
        apr: Option<String>,
        /// With a reward asset and mode apr: how much of it one unit of the asset is worth
        #[arg(long, value_name = "RATE")]
        reward_rate: Option<String>,
        #[command(flatten)]
        flags: ControlFlags,
    },
    /// Release an epoch that the gate holds, so that it is paid
    #[command(after_help = "\
Example:
  softstake control release ATOM 12 --by j.doe --reason 'checked against the validators' --bus dir:bus")]
    Release(VerdictArguments),
    /// Void an epoch that the gate holds: nothing of it is paid, and it can be closed again
    #[command(after_help = "\
Example:
  softstake control void ATOM 12 --by j.doe --reason 'pool of another asset' --bus dir:bus")]
    Void(VerdictArguments),
    /// End an asset's listing: it has no epoch from EPOCH on
    #[command(after_help = "\
Example:
  softstake control withdraw ATOM 20 --reason 'wrong decimals' --bus dir:bus")]
    Withdraw {
        /// The asset
        asset: Asset,
        /// The first epoch that there is not
        epoch: Epoch,
        /// Why; it is kept for ever
        #[arg(long, value_name = "TEXT")]
        reason: String,
        #[command(flatten)]
        flags: ControlFlags,
    },
    /// Add a validator's reward to the pool of an epoch
    #[command(after_help = "\
Example:
  softstake control reward ATOM 12.5 --validator cosmos-1 --bus dir:bus")]
    Reward {
        /// The asset
        asset: Asset,
        /// The amount, in the reward asset
        amount: String,
        /// Who paid it
        #[arg(long, value_name = "NAME")]
        validator: String,
        /// When: it goes into the epoch of this time [default: now]
        #[arg(long, value_name = "TIME")]
        time: Option<String>,
        #[command(flatten)]
        flags: ControlFlags,
    },
    /// Add to the pool of an epoch, or take from it: slashing, a pool that was wrong
    #[command(after_help = "\
Example:
  softstake control adjust ATOM -3.2 --reason 'slashing of cosmos-1' --bus dir:bus")]
    Adjust {
        /// The asset
        asset: Asset,
        /// The amount, in the reward asset; negative if it takes
        #[arg(allow_hyphen_values = true)]
        amount: String,
        /// Why; it is kept for ever
        #[arg(long, value_name = "TEXT")]
        reason: String,
        /// When: it goes into the epoch of this time [default: now]
        #[arg(long, value_name = "TIME")]
        time: Option<String>,
        #[command(flatten)]
        flags: ControlFlags,
    },
    /// Accept that records of a source partition are gone for good
    #[command(after_help = "\
Example:
  softstake control accept-loss exchange.deposits 3 18000 18250 --by j.doe --reason 'retention' --bus kafka")]
    AcceptLoss {
        /// The source topic
        topic: String,
        /// The partition
        partition: u32,
        /// The first offset that is gone
        from: u64,
        /// The offset after the last one that is gone
        to: u64,
        /// Who accepts the loss
        #[arg(long, value_name = "NAME")]
        by: String,
        /// Why; it is kept for ever
        #[arg(long, value_name = "TEXT")]
        reason: String,
        #[command(flatten)]
        flags: ControlFlags,
    },
    /// Put a later version of the rules in force
    #[command(after_help = "\
Example:
  softstake control rules 3 --bus kafka")]
    Rules {
        /// The version
        version: u64,
        #[command(flatten)]
        flags: ControlFlags,
    },
}

/// What becomes of a held epoch, and who says so.
#[derive(Debug, Args)]
pub(super) struct VerdictArguments {
    /// The asset
    pub(super) asset: Asset,
    /// The epoch
    pub(super) epoch: Epoch,
    /// Who decides
    #[arg(long, value_name = "NAME")]
    pub(super) by: String,
    /// Why; it is kept for ever
    #[arg(long, value_name = "TEXT")]
    pub(super) reason: String,
    #[command(flatten)]
    pub(super) flags: ControlFlags,
}
