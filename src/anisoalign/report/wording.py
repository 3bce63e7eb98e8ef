"""Names, plain words and number formats that the tables, the page and the figures share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from anisoalign.diagnostics.measures import ALIGNED, COMPARED, Measure

REALIGN = "realign"
"""The method that is the zero of `closed`."""
REAL_TARGET = "real-target"
"""The one of `closed`: a classifier trained on real targets."""
RAW = "raw rows"
"""What the page calls the method `identity` everywhere."""
_UNCOUNTED = frozenset(("audio", "speech", "music", "code"))

Record = Mapping[str, Any]


GAP = (
    Measure("centroid_gap", "Gμ centroid gap", "distance of the two means; 0 is none, 2 the most"),
    Measure("centroid_cosine", "centroid cosine", "what two unrelated rows, one of each set, score on average"),
    Measure("within_source_cosine", "within source", "mean cosine of two source rows"),
    Measure("within_target_cosine", "within target", "mean cosine of two target rows"),
    Measure("paired_cosine", "paired cosine", "mean cosine of a row with its own counterpart"),
    Measure("paired_cosine_limit", "highest paired cosine", "no pairing of rows that lie like these averages above it"),
    Measure("covariance_gap", "GΣ covariance gap", "difference of the covariances, in units of the target's"),
    Measure("covariance_gap_chance", "  by chance", "what two samples of one law and of these sizes would show"),
    Measure("spectral_correlation", "Cλ spectral correlation", "high for any two sets; proves nothing by itself"),
    Measure("subspace_overlap", "O_q subspace overlap", "share of the leading directions in common"),
    Measure("subspace_overlap_chance", "  by chance", "what unrelated sets of this width would share"),
    Measure("subspace_overlap_p", "  p-value", "of a permutation test; small says that the sharing is real"),
    Measure("angle_divergence", "angle divergence", "of the two sets' inner angles, in bits; 0 equal, 1 disjoint"),
    Measure(
        "mixed_target_share_at_10",
        "targets @10",
        "share of targets among the ten rows nearest to a source, of as many of both; a half is an even mixture",
    ),
    Measure("mixed_source_share_at_10", "sources @10", "the other way: sources among the ten nearest to a target"),
    Measure("paired_distance", "paired distance", "mean distance of a row to its counterpart"),
    Measure("centered_paired_distance", "  once means match", "the same after both means are moved to one place"),
    Measure("residual_ratio", "  what is left of it", "second over first: what moving the mean cannot remove"),
    Measure("residual_anisotropy", "Ar residual anisotropy", "energy along the main direction; 1 is even", 1),
    Measure(
        "residual_effective_dimension",
        "effective dimension",
        "share of the dimensions that would do if the rest were spread evenly over them (participation ratio)",
    ),
    Measure(
        "residual_coverage",
        "residual in shared frame",
        "share of the rest that lies in the leading directions of both sets taken together",
    ),
    Measure("residual_coverage_chance", "  by chance", "their number over the width"),
    Measure("residual_coverage_unpaired", "  of no pairs", "what rows that do not belong together would show"),
)
"""Lines of a diagnosis."""

CONTROLLED = (ALIGNED[3], COMPARED[0], COMPARED[1], COMPARED[2], COMPARED[3])
"""Columns of the diagnostic transforms."""


def short_name(method: str) -> str:
    """A method as the page calls it: settings in brackets, and the identity by what it leaves.

    Examples
    --------
    >>> short_name("gaussian-transport:shrinkage=0.3,strength=0.5"), short_name("c3"), short_name("identity")
    ('gaussian-transport (shrinkage=0.3, strength=0.5)', 'c3', 'raw rows')
    """
    if method == "identity":
        return RAW
    name, _, rest = str(method).partition(":")
    return f"{name} ({', '.join(rest.split(','))})" if rest else name


def one(name: str) -> str:
    """A row's name with its article.

    Examples
    --------
    >>> one("text"), one("image"), one("audio")
    ('a text', 'an image', 'an audio row')
    """
    return f"{'an' if name[:1].lower() in tuple('aeio') else 'a'} {name}{' row' if name in _UNCOUNTED else ''}"


def many(name: str) -> str:
    """The plural of a row's name.

    Examples
    --------
    >>> many("image"), many("query"), many("sketch"), many("speech")
    ('images', 'queries', 'sketches', 'speech rows')
    """
    if name in _UNCOUNTED:
        return f"{name} rows"
    if name.endswith("y") and name[-2:-1] not in tuple("aeiou"):
        return f"{name[:-1]}ies"
    return f"{name}es" if name.endswith(("s", "x", "ch", "sh")) else f"{name}s"


def of_a_common_frame(view: Record, source: str) -> list[str]:
    """A sentence where a view shows rows of a common frame: what its figures call before.

    Examples
    --------
    >>> of_a_common_frame({"frame": "common"}, "text")
    ['All rows lie in a common frame, each side less its own mean: before, texts less theirs; after, aligned texts.']
    """
    if view.get("frame") != "common":
        return []
    return [
        f"All rows lie in a common frame, each side less its own mean: before, {many(source)} less theirs; after, "
        f"aligned {many(source)}."
    ]


def kind_of(record: Record) -> str:
    """Of what a record is: a method, a control, or an oracle, which is made with pairs."""
    return record.get("kind", "method")


def competing(record: Record) -> bool:
    """Whether the record is a method's, neither a control's nor that of a map made with pairs."""
    return kind_of(record) == "method"


def measured(records: Sequence[Record], method: str, key: str) -> float | None:
    """What was measured of a method, None where it was not."""
    return next((record[key] for record in records if record["method"] == method and key in record), None)


def in_target_frame(method: str) -> str:
    """A method as it is called in the target's frame.

    Examples
    --------
    >>> in_target_frame("aniso-align:strength=1,frame=common"), in_target_frame("mean-shift:frame=common")
    ('aniso-align:strength=1', 'mean-shift')
    """
    name, _, rest = method.partition(":")
    settings = [setting for setting in rest.split(",") if not _of_the_common_frame(setting)]
    return f"{name}:{','.join(settings)}".removesuffix(":")


def _of_the_common_frame(setting: str) -> bool:
    return setting.replace(" ", "") == "frame=common"


def in_common_frame(record: Record) -> bool:
    """Whether a method's rows lie among targets less their mean, and so are no substitutes for targets as they are."""
    return any(map(_of_the_common_frame, str(record.get("method", "")).partition(":")[2].split(",")))


def of_one_frame(records: Sequence[Record]) -> list[Record]:
    """The records whose Ψ can be weighed: less those of a common frame, unless all methods are of one.

    Ψ holds rows against raw ones, from which those of a common frame differ for the frame alone.

    Examples
    --------
    >>> of_one_frame([{"method": "realign"}, {"method": "realign:frame=common"}])
    [{'method': 'realign'}]
    """
    among_targets = [record for record in records if not in_common_frame(record)]
    return among_targets if any(map(competing, among_targets)) else list(records)


def of_both_frames(records: Sequence[Record]) -> bool:
    """Whether methods of both frames were compared."""
    return {in_common_frame(record) for record in records if competing(record)} == {True, False}


def in_order(records: Sequence[Record]) -> tuple[list[Record], list[Record]]:
    """Methods, then controls and what is made with pairs, each in the order given."""
    return [r for r in records if competing(r)], [r for r in records if not competing(r)]


def side_names(gap: Record) -> tuple[str, str]:
    """Names of the two sets of a diagnosis."""
    return str(gap.get("source", "source")), str(gap.get("target", "target"))


def directions_compared(gap: Record) -> int:
    """Leading directions in which two sets were compared: q, or fewer where rows span fewer.

    Examples
    --------
    >>> directions_compared({"q": 51, "subspace_overlap_q": 49}), directions_compared({"q": 51})
    (49, 51)
    """
    return gap.get("subspace_overlap_q", gap["q"])


def controls(gap: Record) -> dict[str, dict[str, float]]:
    """The diagnostic transforms of a diagnosis, where it has them: name → metric → value."""
    found: dict[str, dict[str, float]] = {}
    for key, value in gap.items():
        for measure in CONTROLLED:
            name = key.removeprefix("control_").removesuffix(f"_{measure.key}")
            if key == f"control_{name}_{measure.key}":
                found.setdefault(name.replace("_", " "), {})[measure.key] = value
    return found


def protocol_line(records: Sequence[Record]) -> str:
    """How the numbers of a comparison came about."""
    first = records[0] if records else {}
    if any(key not in first for key in ("repeats", "rows_fit_source", "rows_test_source", "k")):
        return ""
    repeats = first["repeats"]
    spread = f"mean ± standard error over {repeats} splits" if repeats > 1 else "one split: no spread is known"
    return (
        f"{spread}; fitted on {first['rows_fit_source']:,} source and {first['rows_fit_target']:,} target rows, "
        f"tested on {first['rows_test_source']:,} and {first['rows_test_target']:,} others; k = {first['k']}"
        + ("; the sets were split each by itself" if first.get("split") == "apart" else "")
    )


def copies_among(records: Sequence[Record]) -> list[str]:
    """A sentence where most rows of a side repeat another: what the figures of a comparison do not tell then."""
    sides = [side for side in ("sources", "targets") if any(record.get(f"repeated_{side}") for record in records)]
    if not sides:
        return []
    return [
        f"Most {' and '.join(sides)} repeat another, and the nearest rows of each are its own copies: Ω, penetration, "
        "coverage, balance and recalls hardly tell one method from another, and none is marked by them."
    ]


def closed_left_out(records: Sequence[Record]) -> list[str]:
    """A sentence where label transfer was measured and `closed` is no share of anything."""
    if not any(record["method"] == REAL_TARGET for record in records) or transfer_has_room(records):
        return []
    return ["“Closed” is left out: on these rows ReAlign and real targets are not told apart in label transfer."]


def transfer_has_room(records: Sequence[Record]) -> bool:
    """Whether real targets beat ReAlign in label transfer beyond noise: else `closed` was left out."""
    return any("closed" in record for record in records)


def strengths(record: Record) -> str:
    """The strengths that a method chose over the repeats, in words.

    Examples
    --------
    >>> strengths({"strength_lowest": 0.3, "strength_highest": 0.4, "strength_used": 0.32})
    '0.3 to 0.4, 0.32 on average'
    """
    low, high = record["strength_lowest"], record["strength_highest"]
    return f"{low:g}" if low == high else f"{low:g} to {high:g}, {record['strength_used']:.2g} on average"


def chosen_strengths(records: Sequence[Record]) -> list[str]:
    """A sentence for each method that chose its strength itself; one for both frames, which a fit serves.

    Examples
    --------
    >>> chose = {"strength_lowest": 0.3, "strength_highest": 0.3}
    >>> chosen_strengths([{"method": "aniso-align", **chose}, {"method": "aniso-align:frame=common", **chose}])
    ['aniso-align chose its strength: 0.3']
    """
    chose = {str(record["method"]): record for record in records if "strength_lowest" in record}
    told = [name for name in chose if in_target_frame(name) == name or in_target_frame(name) not in chose]
    return [f"{name} chose its strength: {strengths(chose[name])}" for name in told]
