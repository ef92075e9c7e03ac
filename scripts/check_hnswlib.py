"""Both ways between vectorizer and hnswlib: recall@10 at the same ef must agree within 0.002."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import hnswlib
import numpy as np

EFS = [16, 32, 64, 128]
SPACES = {"l2": "euclidean", "cosine": "cosine", "ip": "dot"}


def data(arguments):
    if arguments:
        return [np.load(path).astype(np.float32) for path in arguments]
    random = np.random.default_rng(7)
    centers = random.normal(size=(200, 64))
    rows = centers[random.integers(200, size=22_000)] + 0.6 * random.normal(size=(22_000, 64))
    rows = rows.astype(np.float32)
    return rows[:20_000], rows[20_000:]


def exact(space, base, queries, k=10):
    # The index that compares everything makes no row unit under the cosine.
    if space == "cosine":
        base, queries = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (base, queries))
        space = "ip"
    index = hnswlib.BFIndex(space, base.shape[1])
    index.init_index(len(base))
    index.add_items(base)
    return index.knn_query(queries, k)


def recall(distances, truth):
    """By distance: what ties with the tenth is found."""
    return float((distances <= truth[:, -1:] + 1e-5 * np.abs(truth[:, -1:]) + 1e-6).mean())


def main(command, *files):
    base, queries = data(files)
    dimension = str(base.shape[1])
    folder = Path(tempfile.mkdtemp())
    np.save(folder / "base.npy", base)
    np.save(folder / "queries.npy", queries)

    def run(*arguments):
        done = subprocess.run([command, *map(str, arguments)], check=True, capture_output=True, text=True)
        return done.stdout.strip().splitlines()

    worst = 0.0
    for space, metric in SPACES.items():
        truth_labels, truth = exact(space, base, queries)
        np.save(folder / "truth.npy", truth_labels.astype(np.int64))
        ours = folder / f"ours-{space}"
        kind = ["--dimension", dimension, "--metric", metric]
        run("import", "--index", ours, "--format", "npy", folder / "base.npy", *kind)
        run("export", "--index", ours, "--format", "hnswlib", folder / "ours.bin")
        loaded = hnswlib.Index(space, base.shape[1])
        loaded.load_index(str(folder / "ours.bin"))
        built = hnswlib.Index(space, base.shape[1])
        built.init_index(len(base), M=16, ef_construction=200)
        built.add_items(base)
        built.save_index(str(folder / "theirs.bin"))
        theirs = folder / f"theirs-{space}"
        run("import", "--index", theirs, "--format", "hnswlib", folder / "theirs.bin", *kind)
        for name, index, graph in [("ours", ours, loaded), ("theirs", theirs, built)]:
            ef = ",".join(map(str, EFS))
            search = ["search", "--index", index, "--queries", folder / "queries.npy", "-k", 10, "--ef", ef]
            said = json.loads(run(*search, "--truth", folder / "truth.npy", "--json")[-1])
            for ef, row in zip(EFS, said["rows"]):
                graph.set_ef(ef)
                _, distances = graph.knn_query(queries, 10)
                hnswlib_recall = recall(distances, truth)
                gap = row["recall"] - hnswlib_recall
                worst = max(worst, abs(gap))
                print(f"{metric:9} graph of {name:6} ef {ef:4}: vectorizer {row['recall']:.4f}, hnswlib {hnswlib_recall:.4f}, {gap:+.4f}")
    print(f"widest gap {worst:.4f}")
    sys.exit(worst > 0.002)


main(*sys.argv[1:])
