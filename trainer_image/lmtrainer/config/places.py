"""The locations that a configuration names."""

from __future__ import annotations

from lmtrainer.config.command import CommandConfig
from lmtrainer.config.run import Work
from lmtrainer.config.sources import claims


def volume_claims(config: Work) -> tuple[str, ...]:
    """Every volume claim that the configuration reads or writes."""
    if isinstance(config, CommandConfig):
        return claims([*config.locations, config.output.to])
    places = [*config.data.train, *config.data.validation.files, *written_places(config)]
    places += [p for p in (config.tokenizer.from_, config.model.from_) if p]
    return claims(places)


def written_places(config: Work) -> tuple[str, ...]:
    """Locations that the run writes to."""
    if isinstance(config, CommandConfig) or config.data.cache is None:
        return (config.output.to,)
    return (config.output.to, config.data.cache)
