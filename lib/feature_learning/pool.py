"""Several points in a pool of processes, resumable."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict
from multiprocessing import get_context, parent_process
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from feature_learning.config import PointConfig
from feature_learning.errors import check_integer
from feature_learning.experiments import Point, run_point
from feature_learning.version import source_fingerprint


def _begin(threads: int) -> None:
    """Set a worker process up: its threads, and an end of its own should its parent be killed."""
    torch.set_num_threads(threads)
    parent = parent_process()
    if parent is not None:

        def follow() -> None:
            parent.join()
            os._exit(1)

        threading.Thread(target=follow, daemon=True).start()


def _checkpoint(config: PointConfig, folder: Path | None) -> Path | None:
    """Where a point of a pool keeps its checkpoint."""
    if folder is None:
        return None
    identity = json.dumps({"code": source_fingerprint(), **asdict(config)}, sort_keys=True)
    name = hashlib.sha256(identity.encode()).hexdigest()[:20]
    return folder / f"{config.method}-P{config.samples}-{name}.npz"


def run_points(
    configs: Mapping[Any, PointConfig],
    *,
    workers: int = 2,
    threads: int = 1,
    folder: Path | None = None,
    progress: bool = False,
) -> dict[Any, Point]:
    """Compute several points in a pool of processes; returns the points under the same keys.

    One thread per worker: at these sizes two points side by side finish sooner than two threads on
    one point, and the numbers do not depend on how many cores there are. Points with many samples
    start first.

    With a ``folder`` every sampled point keeps its checkpoint there, under a name made from its
    configuration and the library's source: after Ctrl-C or a crash the same call goes on where it
    was, and points that were finished come back at once.

    Raises
    ------
    ArgumentError
        If ``workers`` or ``threads`` is below 1.
    FeatureLearningError
        The first error of a point, after the points already running have ended.
    """
    check_integer("workers", workers, at_least=1)
    check_integer("threads", threads, at_least=1)
    points: dict[Any, Point] = {}
    order = sorted(configs, key=lambda key: -configs[key].samples)
    # Fork would copy the thread pools of torch in an unusable state: start workers afresh.
    with (
        ProcessPoolExecutor(
            workers, mp_context=get_context("spawn"), initializer=_begin, initargs=(threads,)
        ) as pool,
        tqdm(total=len(order), unit="point", disable=not progress, dynamic_ncols=True) as bar,
    ):
        futures = {
            pool.submit(run_point, configs[key], checkpoint=_checkpoint(configs[key], folder)): key
            for key in order
        }
        try:
            for future in as_completed(futures):
                points[futures[future]] = future.result()
                bar.update()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return {key: points[key] for key in configs}
