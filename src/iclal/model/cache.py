"""What the language model has read, kept with room behind it: a step writes its column and copies nothing.

Hugging Face's `DynamicCache` joins old and new at every step, and so copies all that it holds: most of a step of the
tiny language model (docs/log.md). Shapes: B batch, N heads, C columns, D width of a head.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor
from transformers import Cache
from transformers.cache_utils import DynamicLayer

_ROOM = 16  # columns: all is copied once in so many steps; memory that waits is memory, too


class RoomyLayer(DynamicLayer):
    """Keys and values [B, N, C, D] of one layer: views of rooms that have more columns."""

    def __init__(self) -> None:
        super().__init__()
        self._key_room: Tensor | None = None
        self._value_room: Tensor | None = None

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """Write new columns behind those held; returns keys and values of all."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        self.keys, self._key_room = _written(self.keys, self._key_room, key_states)
        self.values, self._value_room = _written(self.values, self._value_room, value_states)
        return self.keys, self.values

    def batch_select_indices(self, indices: Tensor) -> None:
        """Keep these items of the batch, each moved to its place in the list unless it stands there.

        An item may move to the front alone: so none is written over before it has moved.
        """
        assert self._key_room is not None and self._value_room is not None, "nothing has been written"
        columns, kept = self.get_seq_length(), indices.tolist()
        assert all(index >= place for place, index in enumerate(kept)), f"items move backwards: {kept}"
        for room in (self._key_room, self._value_room):
            for place, index in enumerate(kept):
                if index != place:
                    room[place, :, :columns] = room[index, :, :columns]
        self._key_room, self._value_room = self._key_room[: len(kept)], self._value_room[: len(kept)]
        self.keys, self.values = self._key_room[:, :, :columns], self._value_room[:, :, :columns]


def fork(shared: Cache | None, copies: int) -> Cache:
    """A cache of `copies` items that all begin with what `shared` holds, whose storage they read and never write.

    Layers of the plain kind, whatever the config says: a prompt never outgrows a sliding window (`max_positions`).
    """
    cache = Cache(layer_class_to_replicate=RoomyLayer)
    for source in shared.layers if shared is not None else ():
        assert isinstance(source, DynamicLayer) and source.keys is not None and source.values is not None
        layer = RoomyLayer()
        layer.lazy_initialization(source.keys, source.values)
        layer.keys = source.keys.expand(copies, -1, -1, -1)
        layer.values = source.values.expand(copies, -1, -1, -1)
        cache.layers.append(layer)
    return cache


def _written(held: Tensor | None, room: Tensor | None, new: Tensor) -> tuple[Tensor, Tensor]:
    """The columns held and the new ones, and the room that they are a view of: a larger one where it was full."""
    columns = held.shape[2] if held is not None and held.numel() else 0
    total = columns + new.shape[2]
    if room is None or total > room.shape[2]:
        batch, heads, _, width = new.shape
        room = new.new_empty(batch, heads, total + _ROOM, width)
        if held is not None and columns:
            room[:, :, :columns] = held
    room[:, :, columns:total] = new
    return room[:, :, :total], room
