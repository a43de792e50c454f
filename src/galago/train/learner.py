"""The model as it learns: float32 masters and their copies in the compute dtype, dense heads, losses."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - the name everybody uses
from torch import Tensor

from galago import nn
from galago.device.sensed import ROOT, fields
from galago.drawing import CELL, CHARACTERS_PER_CELL, MOST_SHAPES, NEEDLE_STEPS
from galago.models import family
from galago.train.batches import LAST_DIGIT, OTHER_DIGITS, Batch, Rows, patches, prefix_ids, prefix_positions

CHARACTER_CODES = 128
KINDS = 32
COLOURS = 32
PLACES = 16
DIGITS = 3
COUNTS = 4
LENGTH_POWER = 0.25
"""Of an answer's length, by which its tokens weigh less; 1 makes answers alike (Chen et al. 2024)."""


class DenseHeads(nn.Module):
    """What lies in a cell, from its feature alone (see `drawing.CellLabels`), and in which row and column.

    A box is told twice: as decimal digits, and as distances from the cell's corner in cells. Characters are
    scored by the decoder's own embedding of the byte tokens: features meet it half-way.
    """

    def __init__(self, dim: int) -> None:
        self.slots = nn.Linear(dim, CHARACTERS_PER_CELL * dim, bias=True)
        self.labels = nn.Linear(dim, KINDS + COLOURS + 2 * PLACES, bias=True)
        self.box = nn.Linear(dim, 4 + 4 * DIGITS * 10, bias=True)
        self.needle = nn.Linear(dim, 1 + NEEDLE_STEPS, bias=True)
        self.groups = nn.Linear(dim, (COUNTS + 1) * MOST_SHAPES, bias=True)


@dataclass
class Scores:
    """Sums over a batch: the loss to differentiate, and by task what is reported."""

    loss: Tensor
    tasks: dict[str, list[float]] = field(default_factory=dict)
    """Task -> [loss sum, tokens right, tokens, turns right, turns]; dense labels are tasks too."""


class TurnCache:
    """The cache of a training batch: prefixes of its pictures, then groups of turns that continue one each.

    `attend` takes all rows of all groups one after another, as `Learner` lays them out.
    """

    def __init__(self, prefixes: int, length: int, groups: list[Rows], device: torch.device) -> None:
        self.shapes = [(prefixes, length), *(rows.ids.shape for rows in groups)]
        self.sizes = [count * width for count, width in self.shapes]
        self.pictures = [torch.as_tensor(rows.picture, device=device) for rows in groups]
        self.device = device
        self.masks: dict[tuple[int, int, int], Tensor] = {}

    def attend(self, _layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """q [T, H, d], k and v [T, G, d] -> [T, H, d]."""
        (prefix_q, *own_q), (prefix_k, *own_k), (prefix_v, *own_v) = (
            [
                part.view(*shape, *x.shape[1:])
                for part, shape in zip(torch.split(x, self.sizes), self.shapes, strict=True)
            ]
            for x in (q, k, v)
        )  # each [n, A, heads, d]
        out = [self._within(prefix_q, prefix_k, prefix_v)]
        for mine_q, mine_k, mine_v, picture in zip(own_q, own_k, own_v, self.pictures, strict=True):
            seen_k = torch.cat((prefix_k.index_select(0, picture), mine_k), 1)
            seen_v = torch.cat((prefix_v.index_select(0, picture), mine_v), 1)
            out.append(self._within(mine_q, seen_k, seen_v))
        return torch.cat(out)

    def _within(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """q [n, A, H, d], k and v [n, S, G, d] -> [n * A, H, d]; row t sees keys 0 .. S - A + t.

        The query heads over one key head are taken as more rows, so that keys are never repeated. Plain
        products, as the fused backward pass is several times slower on a CPU (LOG 2026-11-20).
        """
        count, rows, heads, width = q.shape
        share = heads // k.shape[2]
        mask = self._mask(rows, k.shape[1], share).to(q.dtype)
        q = (q * width**-0.5).reshape(count, rows, -1, share, width).permute(0, 2, 3, 1, 4)
        q = q.reshape(count, -1, share * rows, width)  # [n, G, share A, d]
        scores = q @ k.permute(0, 2, 3, 1) + mask
        y = (scores.softmax(-1) @ v.transpose(1, 2)).view(count, -1, share, rows, width)
        return y.permute(0, 3, 1, 2, 4).reshape(count * rows, heads, width)

    def _mask(self, rows: int, keys: int, share: int) -> Tensor:
        found = self.masks.get((rows, keys, share))
        if found is None:
            found = torch.full((rows, keys), -1e4, device=self.device).triu(keys - rows + 1).repeat(share, 1)
            self.masks[rows, keys, share] = found
        return found


def compute_dtype(name: str, device: str) -> torch.dtype:
    """A dtype by its name; "auto" is bfloat16 where the machine multiplies it, else float32.

    Without such instructions a processor takes five times as long for bfloat16 (LOG 2026-11-25).
    """
    if name != "auto":
        dtype: torch.dtype = getattr(torch, name)
        return dtype
    table = fields(ROOT / "proc/cpuinfo")
    offered = set((table.get("flags") or table.get("Features") or "").split())
    fast = device != "cpu" or bool(offered & {"amx_bf16", "avx512_bf16", "bf16"})
    return torch.bfloat16 if fast else torch.float32


class Learner:
    """nano with its dense heads. `masters` are float32; `live` are what the model computes with."""

    def __init__(
        self,
        config: Mapping[str, Any],
        *,
        seed: int,
        device: str = "cpu",
        dtype: str = "auto",
        live: dict[str, Tensor] | None = None,
    ) -> None:
        """Start from nothing, or compute with the `live` weights of another process in shared memory."""
        self.device = torch.device(device)
        self.dtype = compute_dtype(dtype, device)
        found = family(str(config["model_type"]))
        self.config = found.parse_config(config)
        self.model = found.build(self.config)
        self.heads = DenseHeads(self.config.text.dim)
        start = nn.initialise(seed)
        self.masters: dict[str, Tensor] = {}
        nn.assign(self.model.module, lambda name, p: self._create(name, start(name, p)))
        nn.assign(self.heads, lambda name, p: self._create("heads." + name, start(name, p)))
        self._scale_residuals()
        if live is None:
            live = {name: m.to(self.dtype, copy=True) for name, m in self.masters.items()}
        self.live = {name: tensor.requires_grad_() for name, tensor in live.items()}
        nn.assign(self.model.module, lambda name, _: self.live[name])
        nn.assign(self.heads, lambda name, _: self.live["heads." + name])

    def _create(self, name: str, array: Any) -> Tensor:
        self.masters[name] = torch.as_tensor(array, dtype=torch.float32, device=self.device)
        return self.masters[name]

    def _scale_residuals(self) -> None:
        """Projections that write to the residual stream start small, so that depth does not add up."""
        for name, master in self.masters.items():
            if name.endswith((".o.weight", ".mlp.down.weight")) and "merger" not in name:
                depth = self.config.vision.layers if name.startswith("vision") else self.config.text.layers
                master.mul_(1 / math.sqrt(2 * depth))

    def share(self) -> None:
        """Move what the model computes with to memory that other processes can map."""
        for live in self.live.values():
            live.data.share_memory_()  # type: ignore[no-untyped-call]

    def refresh(self) -> None:
        """Copy the masters into what the model computes with."""
        with torch.no_grad():
            torch._foreach_copy_(list(self.live.values()), list(self.masters.values()))

    def gradients(self) -> dict[str, Tensor]:
        """The float32 gradients summed since the last call, which are then forgotten."""
        found = {}
        for name, live in self.live.items():
            if live.grad is not None:
                found[name] = live.grad.float()
                live.grad = None
        return found

    def encode(self, batch: Batch) -> Tensor:
        """Features [B * cells, dim]."""
        rows, cols = batch.grid
        x = patches(batch.pixels, self.device, self.dtype)
        return cast("Tensor", self.model.encode(x, ((1, 2 * rows, 2 * cols),) * len(batch)))

    def scores(self, batch: Batch, *, dense: float = 1.0, pull: float = 1.0) -> Scores:
        """The loss of a batch, and its parts: dense labels times `dense`, and the turns it has.

        `pull` scales what the turns' gradient does to the vision tower, not to the decoder.
        """
        features = self.encode(batch)
        result = Scores(torch.zeros((), device=self.device))
        if dense > 0:
            result.loss = result.loss + dense * self._dense(features, batch, result.tasks)
        if batch.rows:
            pulled = features * pull + features.detach() * (1 - pull)
            result.loss = result.loss + self._turns(pulled, batch, result.tasks)
        return result

    def _dense(self, features: Tensor, batch: Batch, tasks: dict[str, list[float]]) -> Tensor:
        rows, cols = batch.grid
        found = self.heads.labels(features).float().split([KINDS, COLOURS, PLACES, PLACES], dim=-1)
        place = np.broadcast_to(np.indices((rows, cols))[:, None], (2, len(batch), rows, cols))
        wanted = (
            batch.cells.kind,
            batch.cells.colour,
            np.minimum(place[0], PLACES - 1),
            np.minimum(place[1], PLACES - 1),
        )
        loss = torch.zeros((), device=self.device)
        for name, logits, labels in zip(("kind", "colour", "row", "column"), found, wanted, strict=True):
            target = torch.as_tensor(
                np.ascontiguousarray(labels).reshape(-1).astype(np.int64), device=self.device
            )
            part = F.cross_entropy(logits, target)
            loss = loss + (part if name in ("kind", "colour") else 0.1 * part)
            told = target > 0 if name in ("kind", "colour") else target >= 0
            if told.any():
                _count(tasks, f"cell.{name}", part, (logits.argmax(-1) == target)[told])
        return (
            loss
            + self._boxes(features, batch, tasks)
            + self._needles(features, batch, tasks)
            + self._groups(features, batch, tasks)
            + self._characters(features, batch, tasks)
        )

    def _boxes(self, features: Tensor, batch: Batch, tasks: dict[str, list[float]]) -> Tensor:
        """Each edge of the shape in a cell: its decimal digits, which the answers have, and its distance."""
        cells = batch.cells.box.any(-1).reshape(-1).nonzero()[0]
        if not len(cells):
            return torch.zeros((), device=self.device)
        edges = batch.cells.box.reshape(-1, 4)[cells].astype(np.int64) - 1
        rows, cols = batch.grid
        corner = np.stack((cells % cols, cells // cols % rows), -1)
        apart = edges / CELL - np.tile(corner, 2)
        digits = edges[..., None] // (100, 10, 1) % 10
        found = self.heads.box(features.index_select(0, torch.as_tensor(cells, device=self.device))).float()
        near = F.smooth_l1_loss(found[:, :4], torch.as_tensor(apart, device=self.device).float(), beta=0.1)
        logits = found[:, 4:].reshape(-1, 10)
        target = torch.as_tensor(digits.reshape(-1), device=self.device)
        each = F.cross_entropy(logits, target, reduction="none")
        _count(tasks, "cell.box", each.mean(), (logits.argmax(-1) == target))
        weight = torch.tensor((OTHER_DIGITS, OTHER_DIGITS, LAST_DIGIT), device=self.device)
        return near + (each.view(-1, DIGITS) * weight).mean()

    def _needles(self, features: Tensor, batch: Batch, tasks: dict[str, list[float]]) -> Tensor:
        """How far up its scale the needle points that turns in a cell."""
        labels = batch.cells.needle.reshape(-1).astype(np.int64)
        cells = labels.nonzero()[0]
        if not len(cells):
            return torch.zeros((), device=self.device)
        logits = self.heads.needle(features.index_select(0, torch.as_tensor(cells, device=self.device)))
        target = torch.as_tensor(labels[cells], device=self.device)
        each = F.cross_entropy(logits.float(), target)
        _count(tasks, "cell.needle", each, (logits.argmax(-1) - target).abs() <= 1)
        return 0.3 * each

    def _groups(self, features: Tensor, batch: Batch, tasks: dict[str, list[float]]) -> Tensor:
        """How many shapes are like the one in a cell, and which place in a caption they have."""
        cells = batch.cells.group.reshape(-1).nonzero()[0]
        if not len(cells):
            return torch.zeros((), device=self.device)
        counts = batch.cells.counts.reshape(-1, COUNTS)[cells]
        numbers = np.concatenate([counts, batch.cells.group.reshape(-1, 1)[cells]], 1).astype(np.int64) - 1
        found = self.heads.groups(features.index_select(0, torch.as_tensor(cells, device=self.device)))
        logits = found.float().view(len(cells), COUNTS + 1, MOST_SHAPES)
        target = torch.as_tensor(numbers, device=self.device)
        each = F.cross_entropy(logits.transpose(1, 2), target, reduction="none")  # [cells, COUNTS + 1]
        right = logits.argmax(-1) == target
        for name, part in (("count", slice(0, COUNTS)), ("group", slice(COUNTS, None))):
            _count(tasks, f"cell.{name}", each[:, part].mean(), right[:, part])
        return each.mean()

    def _characters(self, features: Tensor, batch: Batch, tasks: dict[str, list[float]]) -> Tensor:
        """All filled slots and the first empty one of each cell: what follows it is empty by definition."""
        labels = batch.cells.characters.reshape(-1, CHARACTERS_PER_CELL).astype(np.int64)
        asked = np.ones_like(labels, bool)
        asked[:, 1:] = labels[:, :-1] > 0
        slots = self.heads.slots(features).view(len(labels), CHARACTERS_PER_CELL, -1)
        index = torch.as_tensor(asked.reshape(-1).nonzero()[0], device=self.device)
        table = self.live["language.embedding.weight"][:CHARACTER_CODES]
        logits = F.linear(slots.flatten(0, 1).index_select(0, index), table).float()
        target = torch.as_tensor(labels.reshape(-1), device=self.device).index_select(0, index)
        filled = target > 0
        each = F.cross_entropy(logits, target, reduction="none")
        if filled.any():
            _count(tasks, "cell.character", each[filled].mean(), (logits.argmax(-1) == target)[filled])
        weight = torch.where(filled, 1.0, 0.3)
        return (each * weight).sum() / weight.sum()

    def hidden(self, features: Tensor, batch: Batch, rows: list[Rows]) -> Tensor:
        """Hidden rows of all prefixes and turns, in the order `TurnCache` describes: [T, dim]."""
        pictures, cells = len(batch), batch.grid[0] * batch.grid[1]
        ids = prefix_ids(cells)
        place = prefix_positions(*batch.grid)
        after = int(place.max()) + 1
        marks = self.model.embed(ids[:2])
        end = self.model.embed(ids[-1:])
        seen = features.view(pictures, cells, -1)
        head = torch.cat((marks.expand(pictures, -1, -1), seen, end.expand(pictures, -1, -1)), 1).flatten(
            0, 1
        )
        parts, places = [head], [np.tile(place, pictures)]
        for group in rows:
            parts.append(self.model.embed(group.ids.reshape(-1)))
            step = after + np.tile(np.arange(group.ids.shape[1]), len(group.ids))
            places.append(np.broadcast_to(step, (3, len(step))))
        cache = TurnCache(pictures, len(ids), rows, self.device)
        return cast("Tensor", self.model.decode(torch.cat(parts), np.concatenate(places, 1), cache))

    def _turns(self, features: Tensor, batch: Batch, tasks: dict[str, list[float]]) -> Tensor:
        hidden = self.hidden(features, batch, batch.rows)
        start = len(batch) * (batch.grid[0] * batch.grid[1] + 3)
        targets = np.concatenate([rows.targets.reshape(-1) for rows in batch.rows])
        learned = (targets >= 0).nonzero()[0]
        turn_of = np.concatenate(
            [
                np.full(rows.ids.shape, 0) + np.arange(len(rows.ids))[:, None] + first
                for rows, first in zip(batch.rows, _firsts(batch.rows), strict=True)
            ],
            axis=None,
        )
        chosen = torch.as_tensor(start + learned, device=self.device)
        logits = self.model.logits(hidden.index_select(0, chosen)).float()
        target = torch.as_tensor(targets[learned], device=self.device)
        each = F.cross_entropy(logits, target, reduction="none")
        lengths = np.bincount(turn_of[learned])
        shares = np.concatenate([rows.weight.reshape(-1) for rows in batch.rows])[learned]
        shares *= lengths[turn_of[learned]] ** -LENGTH_POWER
        weight = torch.as_tensor(shares, dtype=torch.float32, device=self.device)
        names = [task for rows in batch.rows for task in rows.tasks]
        _count_turns(tasks, names, turn_of[learned], each, logits.argmax(-1) == target)
        return (each * weight).sum() / weight.sum()


def _firsts(rows: list[Rows]) -> list[int]:
    return [0, *np.cumsum([len(r.ids) for r in rows])[:-1].tolist()]


def _count(tasks: dict[str, list[float]], name: str, loss: Tensor, right: Tensor) -> None:
    count = right.numel()
    hits = float(right.sum())
    tasks[name] = [float(loss.detach()) * count, hits, count, hits, count]


def _count_turns(
    tasks: dict[str, list[float]], names: list[str], turn_of: Any, each: Tensor, right: Tensor
) -> None:
    losses, hits = each.detach().float().cpu().numpy(), right.cpu().numpy()
    turns = len(names)
    loss = np.bincount(turn_of, losses, turns)
    good, tokens = np.bincount(turn_of, hits, turns), np.bincount(turn_of, minlength=turns)
    for turn, name in enumerate(names):
        entry = tasks.setdefault(name, [0.0] * 5)
        whole = float(good[turn] == tokens[turn])
        for place, value in enumerate((loss[turn], good[turn], tokens[turn], whole, 1.0)):
            entry[place] += float(value)
