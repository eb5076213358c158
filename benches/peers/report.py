"""The results of a comparison as JSON and as Markdown: medians, spreads and ratios."""

import json
import statistics

# Key, what it is, how it is written, and whether more is better.
FIGURES = [
    ("events_per_second", "Events a second, to all processed and committed", "{:,.0f}", True),
    ("ingest_seconds", "Time for all events, s", "{:.1f}", False),
    ("ingest_cpu", "Processor time of the program, s", "{:.1f}", False),
    ("ingest_broker_cpu", "Processor time of the broker, s", "{:.1f}", False),
    ("ingest_both_cpu", "Processor time of both, s", "{:.1f}", False),
    ("cpu_per_event_us", "Processor time of the program for an event, µs", "{:.2f}", False),
    ("broker_cpu_per_event_us", "Processor time of the broker for an event, µs", "{:.2f}", False),
    ("restart_seconds", "From a start after SIGKILL to the next event processed, s", "{:.2f}", False),
    ("settle_seconds", "From the closes to the last seal, s", "{:.1f}", False),
    ("settle_cpu_per_payout_us", "Settlement: processor time of the program for a payout, µs", "{:.2f}", False),
    ("settle_broker_cpu_per_payout_us", "Settlement: processor time of the broker for a payout, µs", "{:.2f}", False),
    ("state_mb", "State on disk after a stop at the end, MB", "{:,.0f}", False),
    ("topics_mb", "Its own topics on the broker's disk at the end, MB", "{:,.0f}", False),
    ("peak_mb", "Peak memory of the program, MB", "{:,.0f}", False),
]

# As in FIGURES, but the ratio is what transactions cost: below 1.05 they take at most 5 % more.
COSTS = ["ingest_seconds", "ingest_cpu", "ingest_broker_cpu", "ingest_both_cpu", "peak_mb"]


def summary(values):
    return {"median": statistics.median(values), "least": min(values), "most": max(values)}


def summarise(rounds):
    """For each figure: both programs, and how many times better Softstake is, round by round."""
    figures = {}
    for key, _, _, more_is_better in FIGURES:
        ours = [pair["softstake"][key] for pair in rounds]
        theirs = [pair["streams"][key] for pair in rounds]
        pairs = zip(ours, theirs) if more_is_better else zip(theirs, ours)
        ratios = [better / worse for better, worse in pairs if worse]
        figures[key] = {
            "softstake": summary(ours),
            "streams": summary(theirs),
            "ratio": summary(ratios) if ratios else None,
        }
    return figures


def summarise_pairs(pairs):
    """For each figure: with transactions and without, and the ratio of the two, pair by pair."""
    figures = {}
    for key in COSTS:
        with_them = [pair["softstake"][key] for pair in pairs]
        without = [pair["without-transactions"][key] for pair in pairs]
        figures[key] = {
            "with": summary(with_them),
            "without": summary(without),
            "ratio": summary([more / less for more, less in zip(with_them, without)]),
        }
    return figures


def cell(form, figure):
    if figure is None:
        return "-"
    text = [form.format(figure[part]) for part in ("median", "least", "most")]
    return text[0] if text[1] == text[2] else f"{text[0]} ({text[1]} to {text[2]})"


def markdown(setup, figures, costs):
    rows = [
        "# Softstake and Kafka Streams at the same job",
        "",
        f"{setup['events']:,} events, {setup['accounts']:,} accounts, {setup['assets']} assets, "
        f"{setup['epochs']} epochs, {setup['source_partitions']} source partitions, "
        f"{setup['ledger_partitions']} ledger partitions; {setup['payouts']:,} payouts, equal in every round.",
        f"Rounds: {setup['rounds']}; not counted before them, to warm the broker up: {setup['warm_up']}.",
        "Medians, with the least and the most in brackets. Above 1, Softstake is better.",
        "",
    ]
    rows += [f"- {name}: {value}" for name, value in setup["machine"].items()]
    rows += ["", "| figure | Softstake | Kafka Streams | ratio |", "|---|---|---|---|"]
    for key, what, form, _ in FIGURES:
        of = figures[key]
        ratio = cell("{:.2f}", of["ratio"])
        rows.append(f"| {what} | {cell(form, of['softstake'])} | {cell(form, of['streams'])} | {ratio} |")
    if costs:
        rows += ["", "## What exactly once costs", "", "Only the events are processed; the two run in turn.", ""]
        rows += ["| figure | with transactions | without | ratio |", "|---|---|---|---|"]
    for key, what, form, _ in FIGURES:
        if key in costs:
            of = costs[key]
            cells = [cell(form, of["with"]), cell(form, of["without"]), cell("{:.3f}", of["ratio"])]
            rows.append(f"| {what} | {' | '.join(cells)} |")
    return "\n".join(rows) + "\n"


def write(folder, setup, rounds, pairs):
    figures, costs = summarise(rounds), summarise_pairs(pairs) if pairs else {}
    document = {"setup": setup, "figures": figures, "rounds": rounds, "exactly_once": costs, "pairs": pairs}
    (folder / "results.json").write_text(json.dumps(document, indent=2) + "\n")
    text = markdown(setup, figures, costs)
    (folder / "results.md").write_text(text)
    return text
