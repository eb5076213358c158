//! Explains a payout to a customer, from what was published: the distribution, its seal and the programme in force. The arithmetic is that of
//! settlement.

use axum::extract::State;
use axum::response::Response;
use ethnum::I256;
use ruint::aliases::U512;

use crate::audit::explain::words::{duration_in_words, moment};
use crate::core::accrue::eligibility::Eligibility;
use crate::core::accrue::settle::Rules;
use crate::core::accrue::wide::magnitude;
use crate::core::contract::decision::Offsets;
use crate::core::contract::programme::{Mode, Programme, Scope, TierFactor};
use crate::core::contract::records::{Distribution, Seal};
use crate::core::protocol::messages::Settlement;
use crate::core::values::amount::{SignedAmount, format_units, parse_signed_units};
use crate::core::values::ids::AssetEpoch;
use crate::core::values::rate::Rate;
use crate::serve::answer::{Problem, ProblemBody};
use crate::serve::api::accounts::asked_distribution;
use crate::serve::api::answers::{ExplanationAnswer, StepAnswer};
use crate::serve::api::reply;
use crate::serve::api::request::ApiRequest;
use crate::serve::api::shared::Api;
use crate::serve::auth::Caller;
use crate::serve::view::{ViewCatalogue, ViewError};

/// How a payout follows
///
/// For the customer, in sentences, and number by number. `softstake explain` has more: every event, and what late ones changed.
#[utoipa::path(get, path = "/v1/accounts/{account}/distributions/{asset}/{epoch}/explanation", tag = "accounts",
    params(
        ("account" = String, Path, description = "The account; a `/` in it is written as %2F"),
        ("asset" = String, Path, description = "The asset"),
        ("epoch" = u64, Path, description = "The number of the epoch")
    ),
    responses(
        (status = 200, description = "The explanation", body = ExplanationAnswer),
        (status = 403, description = "The token does not show this account", body = ProblemBody),
        (status = 404, description = "The account was paid nothing for this epoch, or not yet", body = ProblemBody)
    ))]
pub(super) async fn explanation(
    State(api): State<Api>,
    caller: Caller,
    request: ApiRequest,
) -> Result<Response, Problem> {
    let (paid, seal) = asked_distribution(&api, &caller, &request).await?;
    let answer = PaidEpoch::new(&paid.distribution, seal.as_ref(), &api.view.catalogue())?.explain()?;
    reply::json(&api, &request, &answer)
}

/// A distribution with all that explains it.
struct PaidEpoch<'a> {
    paid: &'a Distribution<'a>,
    /// `None` before the epoch is sealed.
    seal: Option<&'a Seal<'a>>,
    settlement: Settlement,
    rules: Rules,
    sentences: Vec<String>,
    steps: Vec<StepAnswer>,
}

impl<'a> PaidEpoch<'a> {
    fn new(
        paid: &'a Distribution<'a>,
        seal: Option<&'a Seal<'a>>,
        catalogue: &ViewCatalogue,
    ) -> Result<Self, ViewError> {
        let missing = || {
            ViewError::Figure(format!(
                "there is no programme on record for the distribution {}",
                paid.id()
            ))
        };
        let (number, listed) = catalogue.listing_of(paid.asset, paid.epoch).ok_or_else(missing)?;
        let (rates, is_last) = listed.closed_as(paid.epoch);
        let settlement = Settlement {
            at: AssetEpoch::new(number, paid.epoch)?,
            rules: catalogue.rules(),
            terms: listed.terms.clone(),
            programme: listed.programme(paid.epoch).ok_or_else(missing)?.clone(),
            // What counts is summed up already.
            cut: Offsets::default(),
            rates,
            is_last,
        };
        Ok(Self {
            rules: Rules::new(&settlement)?,
            paid,
            seal,
            settlement,
            sentences: Vec::new(),
            steps: Vec::new(),
        })
    }

    fn explain(mut self) -> Result<ExplanationAnswer, ViewError> {
        self.held();
        if self.paid.rewarded != "0" {
            self.counted()?;
            self.rewarded()?;
        }
        self.due()?;
        Ok(ExplanationAnswer {
            sentences: self.sentences,
            steps: self.steps,
        })
    }

    fn programme(&self) -> &Programme {
        &self.settlement.programme
    }

    fn asset(&self) -> &str {
        self.paid.asset.as_str()
    }

    fn reward_asset(&self) -> &str {
        self.paid.reward_asset.as_str()
    }

    fn say(&mut self, sentence: impl Into<String>) {
        self.sentences.push(sentence.into());
    }

    fn step(&mut self, name: &'static str, value: impl Into<String>, unit: impl Into<String>, why: impl Into<String>) {
        self.steps.push(StepAnswer {
            name,
            value: value.into(),
            unit: unit.into(),
            why: why.into(),
        });
    }

    fn wrong(&self, what: &str) -> ViewError {
        ViewError::Figure(format!("the distribution {} or its seal has {what}", self.paid.id()))
    }

    fn number(&self, text: &str) -> Result<SignedAmount, ViewError> {
        SignedAmount::parse(text).ok_or_else(|| self.wrong("a figure that is no number"))
    }

    /// What the account held on average.
    fn held(&mut self) {
        let (asset, average) = (self.asset().to_owned(), self.paid.average_balance.clone().into_owned());
        let (start, end) = (moment(&self.paid.epoch_start), moment(&self.paid.epoch_end));
        self.say(format!(
            "From {start} to {end} (UTC) you held {average} {asset} on average."
        ));
        let held = self.paid.balance_seconds.clone().into_owned();
        self.step(
            "balance_seconds",
            held,
            format!("{asset}·s"),
            "Each balance times the seconds that it was held, added up.",
        );
        let seconds = self.settlement.terms.calendar.length_ms() / 1000;
        self.step(
            "average_balance",
            average,
            asset,
            format!("The balance-seconds divided by the {seconds} seconds of the period."),
        );
    }

    /// The part of the balance that counts.
    fn counted(&mut self) -> Result<(), ViewError> {
        if self.programme().scope == Scope::Owner {
            self.say("All accounts of one owner are taken together: minimum, maximum and tiers apply to their sum.");
            return Ok(());
        }
        let decimals = self.settlement.terms.decimals;
        let held = parse_signed_units(&self.paid.balance_seconds, decimals + 3);
        let held = held.filter(|held| *held > I256::ZERO);
        let held = magnitude(held.ok_or_else(|| self.wrong("balance-seconds that cannot earn"))?);
        let Eligibility::Eligible { counted, .. } = self.rules.weigh(held)? else {
            return Err(self.wrong("a reward for a balance below the minimum"));
        };
        let asset = self.asset().to_owned();
        let minimum = self.programme().min_balance;
        let most = self.programme().max_balance.filter(|_| counted < held);
        match most {
            Some(most) => {
                let most = format_units(most, decimals);
                self.say(format!("Of this, {most} {asset} count, which is the most that can."));
            }
            None if minimum > 0 => {
                let least = format_units(minimum, decimals);
                self.say(format!("All of it counts, as it is not less than {least} {asset}."));
            }
            None => self.say("All of it counts."),
        }
        let average = self.average(counted)?;
        let why = match most {
            Some(_) => "The average balance, but not more than the maximum of the programme.",
            None => "The average balance: it reaches the minimum, and is not above the maximum.",
        };
        self.step("counted_balance", average, asset, why);
        self.tiers(counted)
    }

    /// Unit-milliseconds as an average balance.
    fn average(&self, unit_ms: U512) -> Result<String, ViewError> {
        let fits = I256::from_str_radix(&unit_ms.to_string(), 10);
        let unit_ms = fits.map_err(|_| self.wrong("a balance that is too large"))?;
        Ok(self.rules.average(unit_ms).into())
    }

    fn tiers(&mut self, counted: U512) -> Result<(), ViewError> {
        let factors: Vec<TierFactor> = self.programme().tiers.iter().map(|tier| tier.factor).collect();
        let is_plain = matches!(&factors[..], [TierFactor::Multiplier(one)] if one.to_string() == "1");
        if is_plain {
            return Ok(());
        }
        let parts: Vec<U512> = self.rules.parts(counted).map(|(part, _)| part).collect();
        let asset = self.asset().to_owned();
        let mut texts = Vec::new();
        for (part, factor) in parts.into_iter().zip(factors) {
            let average = self.average(part)?;
            let text = match factor {
                TierFactor::Multiplier(times) if times.to_string() == "1" => "count once".to_owned(),
                TierFactor::Multiplier(times) => format!("count {times} times"),
                TierFactor::Apr(rate) => format!("earn {} % a year", rate.per_cent()),
            };
            self.step(
                "tier",
                average.clone(),
                asset.clone(),
                format!("This part of the balance: {text}."),
            );
            texts.push(format!("{average} {asset} {text}"));
        }
        self.say(format!("By tier: {}.", texts.join(", ")));
        Ok(())
    }

    /// The reward of this epoch: by a rate, or a share of the pot.
    fn rewarded(&mut self) -> Result<(), ViewError> {
        let (rewarded, reward_asset) = (self.paid.rewarded.clone().into_owned(), self.reward_asset().to_owned());
        match self.programme().mode {
            Mode::Pool => self.share(&rewarded, &reward_asset)?,
            Mode::Apr { rate } => self.rate(
                Some(self.settlement.rates.apr.unwrap_or(rate)),
                &rewarded,
                &reward_asset,
            ),
            Mode::AprPerTier => self.rate(None, &rewarded, &reward_asset),
        }
        let why = match self.programme().mode {
            Mode::Pool => "The share of the pot, rounded down to the smallest unit.",
            _ => "The rate on what counts, for this period, rounded down to the smallest unit.",
        };
        self.step("rewarded", rewarded, reward_asset, why);
        Ok(())
    }

    fn rate(&mut self, rate: Option<Rate>, rewarded: &str, reward_asset: &str) {
        let length = duration_in_words(self.settlement.terms.calendar.length_ms());
        let asset = self.asset().to_owned();
        let per_year = match rate {
            Some(rate) => {
                let rate = rate.per_cent().to_string();
                self.step(
                    "rate",
                    rate.clone(),
                    "%",
                    "The yearly rate of the programme for this period.",
                );
                format!("It earns {rate} % a year. ")
            }
            None => String::new(),
        };
        let exchanged = match self.settlement.rates.reward_rate {
            Some(price) => {
                let price = price.to_string();
                self.step("reward_rate", price.clone(), reward_asset, format!("For one {asset}."));
                format!(", at {price} {reward_asset} for 1 {asset}")
            }
            None => String::new(),
        };
        self.say(format!(
            "{per_year}For {length} of 365 days that is {rewarded} {reward_asset}{exchanged}."
        ));
    }

    fn share(&mut self, rewarded: &str, reward_asset: &str) -> Result<(), ViewError> {
        let Some(seal) = self.seal else {
            self.say(format!("Your share of the rewards was {rewarded} {reward_asset}."));
            return Ok(());
        };
        let (pool, commission) = (
            seal.reward_pool.clone().into_owned(),
            seal.commission.clone().into_owned(),
        );
        let net = self.number(&pool)?.minus(self.number(&commission)?);
        let net = net.and_then(|net| net.plus(self.number(&seal.carried_in).ok()?));
        let net = net.ok_or_else(|| self.wrong("a pool that is too large"))?.to_string();
        let mut pot = format!("The rewards of this period were {pool} {reward_asset}.");
        if commission != "0" {
            let rate = self.programme().commission_rate.per_cent();
            pot.push_str(&format!(
                " The exchange keeps {rate} % of them, which is {commission} {reward_asset}."
            ));
        }
        match seal.carried_in.strip_prefix('-') {
            Some(loss) => pot.push_str(&format!(
                " A loss of {loss} {reward_asset} of earlier periods is made up first."
            )),
            None if seal.carried_in != "0" => {
                pot.push_str(&format!(
                    " {} {reward_asset} were left from the period before.",
                    seal.carried_in
                ));
            }
            None => {}
        }
        self.say(pot);
        self.say(format!(
            "{net} {reward_asset} were shared among all customers by how much each of them held, and for how long."
        ));
        let share = self.share_per_cent(rewarded, &net)?;
        self.say(format!("Your share was {share} %, which is {rewarded} {reward_asset}."));
        self.step("pool", pool, reward_asset, "All rewards of this period.");
        self.step(
            "commission",
            commission,
            reward_asset,
            "The part that the exchange keeps.",
        );
        self.step(
            "to_share",
            net,
            reward_asset,
            "The pool less the commission, with what was left from the period before.",
        );
        self.step(
            "share",
            share,
            "%",
            "Your part of what was shared, cut after four digits.",
        );
        Ok(())
    }

    /// What part of the pot a reward is, in per cent, cut after four digits.
    fn share_per_cent(&self, rewarded: &str, net: &str) -> Result<String, ViewError> {
        let decimals = self.settlement.terms.reward_decimals();
        let units = |text: &str| parse_signed_units(text, decimals).map(magnitude);
        let share = units(rewarded).zip(units(net)).and_then(|(rewarded, net)| {
            let scaled = rewarded.checked_mul(U512::from(1_000_000u32))?.checked_div(net)?;
            u128::try_from(scaled).ok()
        });
        let share = share.ok_or_else(|| self.wrong("a share of nothing"))?;
        Ok(format_units(share, 4))
    }

    /// What else is due, what is paid of it, and what waits.
    fn due(&mut self) -> Result<(), ViewError> {
        let paid = self.paid;
        let reward_asset = self.reward_asset().to_owned();
        let parts: [(&'static str, &str, &str, &str, &str); 3] = [
            (
                "made_good",
                &paid.made_good,
                "were added, because records of earlier periods came late",
                "were taken off, because records of earlier periods came late",
                "What earlier periods pay more, or less, because records came late.",
            ),
            (
                "adjusted",
                &paid.adjusted,
                "were added to your rewards by the exchange",
                "were taken off your rewards by the exchange",
                "Adjustments of rewards by the exchange.",
            ),
            (
                "withheld_before",
                &paid.withheld_before,
                "were kept for you from earlier periods",
                "are taken off, because earlier rewards were too high",
                "What was not paid out before; negative for a debt.",
            ),
        ];
        let mut due = self.number(&paid.rewarded)?;
        for (name, amount, more, less, why) in parts {
            let sum = due.plus(self.number(amount)?);
            due = sum.ok_or_else(|| self.wrong("a due that is too large"))?;
            if amount == "0" {
                continue;
            }
            match amount.strip_prefix('-') {
                Some(magnitude) => self.say(format!("{magnitude} {reward_asset} {less}.")),
                None => self.say(format!("{amount} {reward_asset} {more}.")),
            }
            self.step(name, amount, reward_asset.clone(), why);
        }
        let waits = due.minus(self.number(&paid.amount)?);
        let waits = waits
            .ok_or_else(|| self.wrong("an amount that is too large"))?
            .to_string();
        self.step("due", due.to_string(), reward_asset.clone(), "All of this together.");
        let (amount, will_be) = match self.seal {
            Some(_) => (format!("{} {reward_asset} were paid.", paid.amount), "are kept for you"),
            None => (
                format!(
                    "{} {reward_asset} are to be paid. The period is not sealed yet, so this can change.",
                    paid.amount
                ),
                "would be kept for you",
            ),
        };
        self.say(amount);
        if waits != "0" {
            let grain = format_units(1, self.programme().payout_decimals);
            self.say(format!(
                "Payouts are rounded down to multiples of {grain} {reward_asset}: {waits} {reward_asset} {will_be}, and paid with a later reward."
            ));
            self.step(
                "waits",
                waits,
                reward_asset.clone(),
                "The part of the due below the smallest amount that is paid.",
            );
        }
        self.step(
            "paid",
            paid.amount.clone().into_owned(),
            reward_asset,
            "The due, rounded down to what is paid out.",
        );
        Ok(())
    }
}
