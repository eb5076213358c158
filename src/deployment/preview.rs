//! Works out what the open epoch of an asset would pay if it closed now, from the stores in a state directory. It publishes and changes nothing.
//!
//! It does what a settlement does, on all that the ledger tasks have added up and persisted so far: it sums, splits the pool, and works out the
//! payouts. All statuses that were read count.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use ethnum::I256;
use serde::Serialize;
use serde_json::Value;

use crate::bus::{Position, TopicPartition};
use crate::core::accrue::Accrue;
use crate::core::accrue::assess::{Account, Summing};
use crate::core::accrue::eligibility::Eligibility;
use crate::core::accrue::emit::Payments;
use crate::core::accrue::settle;
use crate::core::accrue::settle::{Incoming, Measure, Payout, Rest, Rules, Split};
use crate::core::contract::control::CloseRates;
use crate::core::contract::decision::Offsets;
use crate::core::contract::fields;
use crate::core::contract::gate::{GateFigures, GateLimit, RewardChange};
use crate::core::contract::programme::{Mode, in_force};
use crate::core::contract::records::Ineligible;
use crate::core::contract::rejection::Rejection;
use crate::core::coordinate::gate::GateState;
use crate::core::coordinate::listings::check_rates;
use crate::core::coordinate::{Coordinator, ListedAsset};
use crate::core::fault::{Fault, impossible};
use crate::core::protocol::messages::{Pot, Settlement};
use crate::core::protocol::totals::{Emitted, Subtotal, signed_sum};
use crate::core::values::amount::Amount;
use crate::core::values::asset::Asset;
use crate::core::values::bucket::Partitions;
use crate::core::values::ids::{AssetEpoch, Epoch};
use crate::core::values::offset::Offset;
use crate::core::values::time::timestamp;
use crate::deployment::account::next_unsealed;
use crate::deployment::layout::LedgerLayout;
use crate::deployment::state_directory::{StoreOwner, folder, newest_generation};
use crate::store::Store;
use crate::store::rocks::{MemoryLimits, RocksStore, StoreKind, StoreResources};
use crate::task::TaskError;
use crate::task::account_walk::AccountWalk;
use crate::task::accrue_task::load_accrue;
use crate::task::fold::{FoldError, load_state};

/// Faults name this place.
const FAULTS_AT: &str = "preview";

/// What the close would order.
#[derive(Debug, Clone, Copy, Default)]
pub struct AssumedClose {
    pub reward_pool: Option<Amount>,
    pub rates: CloseRates,
}

/// Why there is no preview.
#[derive(Debug, thiserror::Error)]
pub enum PreviewError {
    #[error(transparent)]
    Task(#[from] TaskError),
    #[error("the asset is not listed")]
    NotListed { listed: Vec<Asset> },
    #[error("{asset} was withdrawn from epoch {end} on, and its last epoch is closed: it has no open epoch")]
    NoOpenEpoch { asset: Asset, end: Epoch },
    /// Nobody knows yet what is withheld and carried into the open epoch.
    #[error("epoch {epoch} of {asset} is closed and {state}; what it leaves withheld and carried is not known before, so there is no preview of epoch {open}")]
    Unsettled {
        asset: Asset,
        epoch: Epoch,
        open: Epoch,
        state: &'static str,
    },
    /// The close would be rejected.
    #[error("{0}")]
    Rejected(Rejection),
    /// A store was persisted earlier or later than the others.
    #[error(
        "the store of ledger partition {partition} is at epoch {found} of {asset}, but the coordinator's is at epoch {expected}: a settlement is under way; \
         try again in a moment"
    )]
    Apart {
        asset: Asset,
        partition: u16,
        found: Epoch,
        expected: Epoch,
    },
}

impl From<FoldError> for PreviewError {
    fn from(error: FoldError) -> Self {
        Self::Task(error.at(FAULTS_AT))
    }
}

impl From<Fault> for PreviewError {
    fn from(fault: Fault) -> Self {
        FoldError::from(fault).into()
    }
}

/// What an open epoch would pay. Amounts are in the reward asset.
#[derive(Debug, Clone, Serialize)]
pub struct Preview {
    pub asset: Asset,
    pub reward_asset: Asset,
    pub epoch: Epoch,
    pub epoch_start: String,
    pub epoch_end: String,
    pub mode: &'static str,
    /// P of the contract: what the close orders, and what was added before.
    pub reward_pool: String,
    /// The validators' rewards and adjustments in it.
    pub added: String,
    pub commission: String,
    pub carried_in: String,
    pub carried_out: String,
    pub returned: String,
    pub rewarded: String,
    pub made_good: String,
    pub adjusted: String,
    pub withheld_before: String,
    pub withheld_after: String,
    /// The sum of the distributions.
    pub total: String,
    pub distributions: u64,
    pub ineligible: Ineligible,
    pub largest: Option<LargestPayout>,
    pub deciles: Vec<Decile>,
    pub gate: GatePreview,
    /// The sum of R of the newest sealed epoch.
    pub rewarded_before: Option<String>,
    pub read_to: ReadTo,
}

/// The largest distribution.
#[derive(Debug, Clone, Serialize)]
pub struct LargestPayout {
    pub account: String,
    pub amount: String,
}

/// A tenth of the accounts that are paid, from the smallest payouts up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Decile {
    /// From 1.
    pub decile: u8,
    pub accounts: u64,
    pub smallest: String,
    pub largest: String,
    pub total: String,
}

/// What the gate would say.
#[derive(Debug, Clone, Serialize)]
pub struct GatePreview {
    /// As the programme has it; null without a gate.
    pub gate: Value,
    /// The limit that would hold the epoch.
    pub held_by: Option<GateLimit>,
    pub largest: String,
    pub total: String,
    /// Against the newest sealed epoch; null if there is nothing to compare with.
    pub change: Option<String>,
}

/// How far the stores are. What came later is not in the preview.
#[derive(Debug, Clone, Default, Serialize)]
pub struct ReadTo {
    /// By partition: the offset below which records of the inner topics are in the stores.
    pub inner: BTreeMap<String, Offset>,
    /// By source partition: the offset below which its records are on the ledger, as far as this state directory knows.
    pub sources: BTreeMap<String, Offset>,
    /// When the stores of the ledger were last written.
    pub persisted_at: Option<String>,
}

/// One account of a preview. Amounts are in the reward asset.
#[derive(Debug, Clone, Serialize)]
pub struct PreviewedAccount {
    pub account: String,
    pub average_balance: String,
    pub balance_seconds: String,
    /// `eligible`, or why it does not earn.
    pub eligibility: &'static str,
    pub rewarded: String,
    pub made_good: String,
    pub adjusted: String,
    pub withheld_before: String,
    pub amount: String,
    pub withheld_after: String,
}

/// Takes the accounts of a preview one by one.
pub type TakeAccount<'a> = &'a mut dyn FnMut(&PreviewedAccount);

/// The store of a ledger partition.
struct LedgerStore {
    store: RocksStore,
    accrue: Accrue,
}

/// What the open epoch of `asset` would pay, by the stores in `state`. RocksDB writes its own log to the folder `scratch`.
///
/// # Errors
/// [`PreviewError`].
pub fn read_preview(
    state: &Path,
    asset: Asset,
    close: &AssumedClose,
    scratch: &Path,
    take: Option<TakeAccount<'_>>,
) -> Result<Preview, PreviewError> {
    let opener = Opener::new(state, scratch)?;
    let (coordinator, at_inbox) = opener.coordinator()?;
    let numbered = (0u16..).zip(coordinator.assets());
    let Some((number, listed)) = numbered.filter(|(_, listed)| listed.terms.asset == asset).last() else {
        let listed = coordinator.assets().iter().map(|listed| listed.terms.asset);
        return Err(PreviewError::NotListed { listed: listed.collect() });
    };
    let at = AssetEpoch::new(number, open_epoch(listed)?)?;
    let settlement = assumed_settlement(&coordinator, listed, at, close)?;
    let stores = opener.ledger_stores(coordinator.partitions(), &settlement)?;
    let sums = sum(&stores, &settlement)?;
    let pool = assumed_pool(listed, at.epoch(), close)?;
    let is_pooled = settlement.programme.mode == Mode::Pool;
    let split = if is_pooled {
        Split::of_pool(pool, settlement.programme.commission_rate, listed.carried)?
    } else {
        Split::default()
    };
    let pot = Pot {
        to_share: split.to_share(),
        weight: sums.weight,
    };
    let mut payouts = PreviewedPayouts::new(take);
    let emitted = payouts.work_out(&stores, &settlement, pot)?;
    let incoming = Incoming {
        mode: settlement.programme.mode,
        pool,
        carried_in: listed.carried,
        split: &split,
        sums: &sums,
    };
    let rest = settle::check_conservation(&incoming, &emitted).map_err(impossible)?;
    let mut read_to = opener.read_to(&coordinator, &stores)?;
    read_to.add(&at_inbox);
    describe(listed, &settlement, (&incoming, &emitted, rest), payouts, read_to)
}

/// The oldest open epoch, if all epochs before it are settled.
fn open_epoch(listed: &ListedAsset) -> Result<Epoch, PreviewError> {
    let (asset, open, epoch) = (listed.terms.asset, listed.oldest_open, listed.next_seal);
    if epoch < open {
        let state = match listed.stopped() {
            Some((_, GateState::Held)) => "held by the gate",
            Some(_) => "void",
            None => "not sealed yet",
        };
        return Err(PreviewError::Unsettled {
            asset,
            epoch,
            open,
            state,
        });
    }
    match listed.withdrawn {
        Some(end) if open >= end => Err(PreviewError::NoOpenEpoch { asset, end }),
        _ => Ok(open),
    }
}

fn assumed_settlement(
    coordinator: &Coordinator,
    listed: &ListedAsset,
    at: AssetEpoch,
    close: &AssumedClose,
) -> Result<Settlement, PreviewError> {
    let programme = in_force(&listed.programmes, at.epoch()).ok_or_else(|| impossible("an epoch without a programme"))?;
    check_rates(programme.mode, &listed.terms, &close.rates).map_err(PreviewError::Rejected)?;
    let sources = coordinator.sources().iter();
    Ok(Settlement {
        at,
        terms: listed.terms.clone(),
        programme: programme.clone(),
        // All statuses that were read count.
        cut: Offsets(sources.map(|source| (*source, Offset::NO_LIMIT)).collect()),
        rates: close.rates,
        is_last: listed.withdrawn == Some(at.epoch().saturating_add(1)),
    })
}

/// P of the contract.
fn assumed_pool(listed: &ListedAsset, epoch: Epoch, close: &AssumedClose) -> Result<I256, PreviewError> {
    let ordered = match &close.reward_pool {
        Some(pool) => pool
            .units(listed.terms.reward_decimals())
            .map_err(|error| PreviewError::Rejected(fields::bad_amount("reward_pool", &error)))?,
        None => 0,
    };
    Ok(signed_sum(I256::from(ordered), listed.added(epoch))?)
}

/// Opens the stores of a state directory for reading.
struct Opener<'a> {
    state: &'a Path,
    scratch: &'a Path,
    resources: StoreResources,
    generation: u32,
}

impl<'a> Opener<'a> {
    fn new(state: &'a Path, scratch: &'a Path) -> Result<Self, PreviewError> {
        let resources = StoreResources::new(MemoryLimits {
            cache_bytes: 64 << 20,
            buffer_bytes: 4 << 20,
            ..MemoryLimits::default()
        });
        Ok(Self {
            state,
            scratch,
            resources: resources.map_err(TaskError::from)?,
            generation: newest_generation(state),
        })
    }

    fn open(&self, owner: StoreOwner, kind: StoreKind, number: usize) -> Result<RocksStore, PreviewError> {
        let scratch = self.scratch.join(number.to_string());
        fs::create_dir_all(&scratch).map_err(TaskError::io("create", &scratch))?;
        let opened = RocksStore::open_for_reading(&folder(self.state, owner), kind, &self.resources, &scratch);
        Ok(opened.map_err(TaskError::from)?)
    }

    /// The coordinator, and how far it has read.
    fn coordinator(&self) -> Result<(Coordinator, Position), PreviewError> {
        let store = self.open(StoreOwner::Coordinate(self.generation), StoreKind::Coordinate, 0)?;
        let coordinator: Option<Coordinator> = load_state(&store, "the state of the coordinator")?;
        let coordinator = coordinator.ok_or(PreviewError::NotListed { listed: Vec::new() })?;
        Ok((coordinator, store.position().clone()))
    }

    fn layout(&self, partitions: u32) -> Result<LedgerLayout, PreviewError> {
        let partitions = Partitions::new(partitions).map_err(|error| impossible(error.to_string()))?;
        Ok(LedgerLayout {
            generation: self.generation,
            partitions,
        })
    }

    /// The stores of all ledger partitions. In each, all epochs before the one that is previewed are emitted.
    fn ledger_stores(&self, partitions: u32, settlement: &Settlement) -> Result<Vec<LedgerStore>, PreviewError> {
        let layout = self.layout(partitions)?;
        let mut stores = Vec::new();
        for partition in 0..layout.partitions.count() {
            let partition = u16::try_from(partition).map_err(|_| impossible("a ledger partition above 4,095"))?;
            let number = usize::from(partition) + 1;
            let store = self.open(StoreOwner::Accrue(partition, layout), StoreKind::Accrue, number)?;
            let first = settlement.terms.calendar.first();
            let found = next_unsealed(&store, settlement.at.number())?.max(first);
            let expected = settlement.at.epoch();
            if found != expected {
                return Err(PreviewError::Apart {
                    asset: settlement.terms.asset,
                    partition,
                    found,
                    expected,
                });
            }
            let accrue = load_accrue(&store)?;
            stores.push(LedgerStore { store, accrue });
        }
        Ok(stores)
    }

    fn read_to(&self, coordinator: &Coordinator, stores: &[LedgerStore]) -> Result<ReadTo, PreviewError> {
        let mut read_to = ReadTo::default();
        for store in stores {
            read_to.add(store.store.position());
        }
        for (number, source) in coordinator.sources().iter().enumerate() {
            let owner = StoreOwner::Ingest(*source);
            // On Kafka, other instances have the others.
            if folder(self.state, owner).join("CURRENT").exists() {
                let number = number + stores.len() + 1;
                let store = self.open(owner, StoreKind::Ingest, number)?;
                read_to.sources.insert(source.to_string(), store.position().offset(*source));
            }
        }
        let layout = self.layout(coordinator.partitions())?;
        let written = (0..layout.partitions.count()).filter_map(|partition| {
            let owner = StoreOwner::Accrue(u16::try_from(partition).ok()?, layout);
            last_written(&folder(self.state, owner))
        });
        read_to.persisted_at = written.max().and_then(|time| {
            let since_1970 = time.duration_since(SystemTime::UNIX_EPOCH).ok()?;
            Some(timestamp(i128::try_from(since_1970.as_millis()).ok()?))
        });
        Ok(read_to)
    }
}

/// When RocksDB last wrote data of a store.
fn last_written(store: &Path) -> Option<SystemTime> {
    let is_data = |path: &PathBuf| path.extension().is_some_and(|end| end == "log" || end == "sst");
    let entries = fs::read_dir(store).ok()?.flatten();
    entries
        .filter(|entry| is_data(&entry.path()))
        .filter_map(|entry| entry.metadata().ok()?.modified().ok())
        .max()
}

impl ReadTo {
    fn add(&mut self, position: &Position) {
        for (partition, mark) in &position.inputs {
            let partition: &TopicPartition = partition;
            self.inner.insert(partition.to_string(), mark.offset);
        }
    }
}

/// The accounts of one store in the epoch.
fn walk<'a>(ledger: &'a LedgerStore, settlement: &Settlement, by_owner: bool) -> Result<AccountWalk<'a>, FoldError> {
    let needs_set_aside = ledger.accrue.needs_set_aside_for(settlement);
    Ok(AccountWalk::new(&ledger.store, settlement.at, 0, needs_set_aside)?.by_bucket(by_owner))
}

fn sum(stores: &[LedgerStore], settlement: &Settlement) -> Result<Subtotal, PreviewError> {
    let mut summing = Summing::new(settlement)?;
    for ledger in stores {
        let mut walk = walk(ledger, settlement, summing.is_by_owner())?;
        loop {
            let accounts = walk.next_accounts()?;
            if accounts.is_empty() {
                break;
            }
            summing.add_accounts(accounts)?;
        }
    }
    Ok(summing.sums())
}

/// The payouts, as far as a preview shows them.
struct PreviewedPayouts<'a> {
    take: Option<TakeAccount<'a>>,
    /// All amounts that are paid.
    amounts: Vec<u128>,
    /// Account and amount of the largest. Of equal ones it is the first by name.
    largest: Option<(String, I256)>,
}

impl<'a> PreviewedPayouts<'a> {
    fn new(take: Option<TakeAccount<'a>>) -> Self {
        Self {
            take,
            amounts: Vec::new(),
            largest: None,
        }
    }

    fn work_out(
        &mut self,
        stores: &[LedgerStore],
        settlement: &Settlement,
        pot: Pot,
    ) -> Result<Emitted, PreviewError> {
        let mut payments = Payments::new(settlement, pot)?;
        for ledger in stores {
            let walk = walk(ledger, settlement, payments.is_by_owner())?;
            let mut walk = walk.resettling(settlement.at, 0)?;
            loop {
                let accounts = walk.next_accounts()?;
                if accounts.is_empty() {
                    break;
                }
                payments.add_accounts(accounts)?;
                for (account, (measure, payout)) in accounts.iter().zip(payments.last()) {
                    self.add(payments.rules(), account, measure, payout)?;
                }
            }
        }
        Ok(payments.sums())
    }

    fn add(&mut self, rules: &Rules, account: &Account, measure: &Measure, payout: &Payout) -> Result<(), Fault> {
        let name = account.name.as_str();
        if payout.paid > I256::ZERO {
            let amount = u128::try_from(payout.paid).map_err(|_| Fault::Overflow("a payout"))?;
            self.amounts.push(amount);
            let is_larger = self.largest.as_ref().is_none_or(|(largest, amount)| {
                payout.paid > *amount || (payout.paid == *amount && name < largest.as_str())
            });
            if is_larger {
                self.largest = Some((name.to_owned(), payout.paid));
            }
        }
        if let Some(take) = &mut self.take {
            take(&previewed_account(rules, account, measure, payout));
        }
        Ok(())
    }

    /// The amounts in tenths, from the smallest up. With fewer than ten, some tenths are empty and left out.
    fn deciles(&mut self, rules: &Rules) -> Result<Vec<Decile>, Fault> {
        self.amounts.sort_unstable();
        let count = self.amounts.len();
        let mut deciles = Vec::new();
        for number in 1..=10_u8 {
            let bound = |tenths: u8| (count * usize::from(tenths)).div_ceil(10);
            let tenth = self.amounts.get(bound(number - 1)..bound(number)).unwrap_or_default();
            let (Some(smallest), Some(largest)) = (tenth.first(), tenth.last()) else { continue };
            let total = tenth
                .iter()
                .try_fold(I256::ZERO, |sum, amount| sum.checked_add(I256::from(*amount)))
                .ok_or(Fault::Overflow("a sum of payouts"))?;
            deciles.push(Decile {
                decile: number,
                accounts: tenth.len() as u64,
                smallest: rules.signed_reward(I256::from(*smallest)),
                largest: rules.signed_reward(I256::from(*largest)),
                total: rules.signed_reward(total),
            });
        }
        Ok(deciles)
    }
}

fn previewed_account(rules: &Rules, account: &Account, measure: &Measure, payout: &Payout) -> PreviewedAccount {
    let eligibility = match measure.eligibility {
        Eligibility::Eligible { .. } => "eligible",
        Eligibility::Empty => "empty",
        Eligibility::Excluded => "status",
        Eligibility::Negative => "negative",
        Eligibility::BelowMinimum => "below_minimum",
    };
    PreviewedAccount {
        account: account.name.as_str().to_owned(),
        average_balance: rules.average(measure.held),
        balance_seconds: rules.balance_seconds(measure.held),
        eligibility,
        rewarded: rules.reward(payout.rewarded),
        made_good: rules.signed_reward(account.made_good),
        adjusted: rules.signed_reward(account.adjusted),
        withheld_before: rules.signed_reward(account.withheld),
        amount: rules.signed_reward(payout.paid),
        withheld_after: rules.signed_reward(payout.withheld),
    }
}

fn describe(
    listed: &ListedAsset,
    settlement: &Settlement,
    (incoming, emitted, rest): (&Incoming<'_>, &Emitted, Rest),
    mut payouts: PreviewedPayouts<'_>,
    read_to: ReadTo,
) -> Result<Preview, PreviewError> {
    let rules = Rules::new(settlement)?;
    let (terms, epoch) = (&settlement.terms, settlement.at.epoch());
    let amount = |units: I256| rules.signed_reward(units);
    let sums = incoming.sums;
    Ok(Preview {
        asset: terms.asset,
        reward_asset: terms.reward_asset(),
        epoch,
        epoch_start: timestamp(terms.calendar.start_ms(epoch)),
        epoch_end: timestamp(terms.calendar.end_ms(epoch)),
        mode: settlement.programme.mode.name(),
        reward_pool: amount(incoming.pool),
        added: amount(listed.added(epoch)),
        commission: rules.reward(incoming.split.commission),
        carried_in: amount(incoming.carried_in),
        carried_out: amount(rest.carried_out),
        returned: amount(rest.returned),
        rewarded: rules.reward(emitted.rewarded),
        made_good: amount(emitted.made_good),
        adjusted: amount(emitted.adjusted),
        withheld_before: amount(sums.withheld_before),
        withheld_after: amount(emitted.withheld_after),
        total: amount(emitted.distributed),
        distributions: emitted.distributions,
        ineligible: Ineligible {
            status: sums.excluded,
            negative: sums.negative,
            below_minimum: sums.below_minimum,
        },
        deciles: payouts.deciles(&rules)?,
        largest: payouts.largest.take().map(|(account, units)| LargestPayout {
            account,
            amount: amount(units),
        }),
        gate: gate(listed, settlement, emitted, &rules)?,
        rewarded_before: listed.rewarded_before().map(|before| rules.reward(before)),
        read_to,
    })
}

fn gate(
    listed: &ListedAsset,
    settlement: &Settlement,
    emitted: &Emitted,
    rules: &Rules,
) -> Result<GatePreview, PreviewError> {
    let figures = GateFigures {
        largest: emitted.largest,
        total: emitted.distributed,
        change: listed.change(emitted)?,
    };
    let gate = settlement.programme.gate.as_ref();
    Ok(GatePreview {
        gate: gate.map_or(Value::Null, |gate| gate.to_value(settlement.terms.reward_decimals())),
        held_by: gate.and_then(|gate| gate.broken(&figures)),
        largest: rules.signed_reward(figures.largest),
        total: rules.signed_reward(figures.total),
        change: figures.change.map(RewardChange::to_decimal),
    })
}
