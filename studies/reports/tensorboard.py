"""Write a study and its trials as TensorBoard event files: curves, final figures, and the table of the HParams tab.

TensorBoard's own functions make the records, except for those functions that would import TensorFlow.
"""

import io
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from tensorboard.compat.proto import event_pb2, summary_pb2
from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2
from tensorboard.plugins.hparams import summary_v2 as hparams
from tensorboard.plugins.scalar.summary_v2 import scalar_pb
from tensorboard.summary.writer.record_writer import RecordWriter

from ..configuration import HyperparameterValues, configuration_of
from ..records import StudyRecord, TrialRecord
from ..spec import SpaceSpec
from ..techniques import TECHNIQUES
from ..trial import EpochMetrics

_STATUS = {"complete": api_pb2.STATUS_SUCCESS, "failed": api_pb2.STATUS_FAILURE}
_PRUNED_STATUS = api_pb2.STATUS_UNKNOWN  # TensorBoard has no status "pruned", and a success has final figures

_CURVE = {
    "train/loss": "train_loss",
    "stop/loss": "stop_loss",
    "stop/cross_entropy": "stop_cross_entropy",
    "stop/accuracy": "stop_accuracy",
}
_FINAL = {
    "select/cross_entropy": "select_cross_entropy",
    "select/accuracy": "select_accuracy",
    "train/cross_entropy": "train_cross_entropy",
    "train/accuracy": "train_accuracy",
}


def experiment(study: StudyRecord) -> bytes:
    """Return the event file of a study, which declares the settings and figures of its trials."""
    figures = [hparams.Metric(tag, display_name=tag.replace("_", "-").replace("/", " ")) for tag in (*_FINAL, *_CURVE)]
    if study.spec.model.hypermodel is not None:
        return _file([])  # TensorBoard then takes the settings from the files of the trials
    summary = hparams.hparams_config_pb(_domains(study.spec.space), figures, _seconds(study.created_at))
    return _file([event_pb2.Event(wall_time=_seconds(study.created_at), summary=summary)])


def trial(study: StudyRecord, trial: TrialRecord, curve: Iterable[EpochMetrics]) -> bytes:
    """Return the event file of a finished trial: its settings, each epoch, its final figures, and how it ended.

    A step is an epoch, counted from 0. The final figures stand at the epoch whose weights were restored.
    """
    now = started = _seconds(trial.started_at or trial.ended_at or study.created_at)
    start = hparams.hparams_pb(_settings(trial.params), trial_id=f"trial-{trial.number}", start_time_secs=started)
    events = [event_pb2.Event(wall_time=started, summary=start)]
    for epoch in curve:
        now += epoch.seconds
        points = {tag: getattr(epoch, name) for tag, name in _CURVE.items()}
        events += _points(now, epoch.epoch, points)
    ended = now if trial.ended_at is None else _seconds(trial.ended_at)
    final = {tag: trial.metrics[name] for tag, name in _FINAL.items() if name in trial.metrics}
    events += _points(ended, int(trial.metrics.get("best_epoch", 0)), final)
    status = _STATUS.get(trial.state, _PRUNED_STATUS)
    return _file([*events, event_pb2.Event(wall_time=ended, summary=_end_summary(status, ended))])


def _domains(space: SpaceSpec) -> list[hparams.HParam]:
    """Return the domain of each setting; the value 0 means that the technique is off."""
    dropout = 0.0 if space.dropout == "off" else space.dropout.high
    patience = 0 if space.patience == "off" else space.patience.high
    off = "0: off"
    rate = space.learning_rate
    rates = [] if rate == "fixed" else [hparams.HParam("learning_rate", hparams.RealInterval(rate.low, rate.high))]
    return [
        hparams.HParam("regularizer", hparams.Discrete(list(space.regularizer))),
        hparams.HParam("l1", hparams.RealInterval(0.0, space.l1.high), description=off),
        hparams.HParam("l2", hparams.RealInterval(0.0, space.l2.high), description=off),
        hparams.HParam("dropout", hparams.RealInterval(0.0, dropout), description=off),
        hparams.HParam("batch_norm", hparams.Discrete(list(space.batch_norm))),
        hparams.HParam("patience", hparams.IntInterval(0, patience), description="of early stopping; 0: off"),
        *rates,
        *(
            hparams.HParam(
                technique.key, hparams.RealInterval(0.0, getattr(space, technique.key).high), description=off
            )
            for technique in TECHNIQUES
            if technique.is_added_later and technique.is_searched(space)
        ),
    ]


def _settings(params: Mapping[str, Any]) -> dict[str, str | float | int]:
    regularization = configuration_of(params)
    if isinstance(regularization, HyperparameterValues):
        return dict(regularization.values)
    rate = regularization.learning_rate
    return {
        "regularizer": str(params.get("regularizer", "none")),
        "l1": regularization.l1,
        "l2": regularization.l2,
        "dropout": regularization.dropout,
        "batch_norm": regularization.batch_norm,
        "patience": regularization.patience or 0,
        **({} if rate is None else {"learning_rate": rate}),
        **{
            technique.key: getattr(regularization, technique.key)
            for technique in TECHNIQUES
            if technique.is_added_later and technique.key in params
        },
    }


def _points(wall_time: float, step: int, figures: Mapping[str, float]) -> list[event_pb2.Event]:
    return [
        event_pb2.Event(wall_time=wall_time, step=step, summary=scalar_pb(tag, figure))
        for tag, figure in figures.items()
    ]


def _end_summary(status: int, ended: float) -> summary_pb2.Summary:
    """Replace `tensorboard.plugins.hparams.summary.session_end_pb`, which would import TensorFlow."""
    info = plugin_data_pb2.SessionEndInfo(status=status, end_time_secs=ended)
    value = metadata.create_summary_metadata(plugin_data_pb2.HParamsPluginData(session_end_info=info))
    summary = summary_pb2.Summary()
    summary.value.add(tag=metadata.SESSION_END_INFO_TAG, metadata=value, tensor=metadata.NULL_TENSOR)
    return summary


def _file(events: Iterable[event_pb2.Event]) -> bytes:
    content = io.BytesIO()
    writer = RecordWriter(content)
    for event in (event_pb2.Event(file_version="brain.Event:2"), *events):
        writer.write(event.SerializeToString())
    return content.getvalue()


def _seconds(moment: datetime) -> float:
    """Return a time from the database (UTC without a time zone) in seconds since 1970."""
    return moment.replace(tzinfo=UTC).timestamp()
