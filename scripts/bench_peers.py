"""Peers from Python, measured as `vectorizer bench` measures its own engine: one JSON object a line on standard output.

Called by scripts/bench-peers once each round. Each peer is measured in a process of its own, on as many cores as it has threads.
"""
import argparse, json, os, subprocess, sys, time

PASSES_TIME, PASSES, SINGLES, WARM_UP = 0.3, 15, 2000, 50
EFFORTS = (10, 4096)


def unit(x):
    import numpy as np
    return x / np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), 1e-30)


class Hnswlib:
    def build(self, base, given, threads):
        import hnswlib
        space = {"euclidean": "l2", "cosine": "cosine", "dot": "ip"}[given.metric]
        self.index = hnswlib.Index(space=space, dim=base.shape[1])
        self.index.init_index(max_elements=len(base), ef_construction=given.ef_construction, M=given.m)
        self.index.add_items(base, num_threads=threads)

    def set_effort(self, ef):
        self.index.set_ef(ef)

    def search(self, queries, k, threads):
        return self.index.knn_query(queries, k=k, num_threads=threads)[0]


class FaissHnsw:
    def build(self, base, given, threads):
        import faiss
        self.faiss, self.cosine = faiss, given.metric == "cosine"
        faiss.omp_set_num_threads(threads)
        metric = faiss.METRIC_L2 if given.metric == "euclidean" else faiss.METRIC_INNER_PRODUCT
        self.index = faiss.IndexHNSWFlat(base.shape[1], given.m, metric)
        self.index.hnsw.efConstruction = given.ef_construction
        self.index.add(unit(base) if self.cosine else base)

    def set_effort(self, ef):
        self.index.hnsw.efSearch = ef

    def search(self, queries, k, threads):
        self.faiss.omp_set_num_threads(threads)
        return self.index.search(unit(queries) if self.cosine else queries, k)[1]


class FaissFlat(FaissHnsw):
    exact = True

    def build(self, base, given, threads):
        import faiss
        self.faiss, self.cosine = faiss, given.metric == "cosine"
        faiss.omp_set_num_threads(threads)
        kind = faiss.IndexFlatL2 if given.metric == "euclidean" else faiss.IndexFlatIP
        self.index = kind(base.shape[1])
        self.index.add(unit(base) if self.cosine else base)

    def set_effort(self, ef):
        pass


class Usearch:
    def build(self, base, given, threads):
        import numpy as np
        from usearch.index import Index
        metric = {"euclidean": "l2sq", "cosine": "cos", "dot": "ip"}[given.metric]
        self.index = Index(ndim=base.shape[1], metric=metric, dtype="f32", connectivity=given.m,
                           expansion_add=given.ef_construction)
        self.index.add(np.arange(len(base), dtype=np.uint64), base, threads=threads)

    def set_effort(self, ef):
        self.index.expansion_search = ef

    def search(self, queries, k, threads):
        keys = self.index.search(queries, k, threads=threads).keys
        return keys.reshape(len(queries), -1)


PEERS = {"hnswlib": Hnswlib, "faiss-hnsw": FaissHnsw, "faiss-flat": FaissFlat, "usearch": Usearch}


def distances(metric, base, query, ids):
    import numpy as np
    rows, query = base[ids].astype(np.float64), query.astype(np.float64)
    if metric == "euclidean":
        return ((rows - query) ** 2).sum(1)
    if metric == "cosine":
        norms = np.linalg.norm(rows, axis=1) * np.linalg.norm(query)
        return 1 - (rows @ query) / np.where(norms > 0, norms, np.inf)
    return -(rows @ query)


def recall(given, base, queries, truth, found):
    """The share of rows found that are no farther than the k-th true neighbour."""
    import numpy as np
    hits = 0
    for query, true, ids in zip(queries, truth, found):
        ids = np.unique(ids[ids < len(base)]) if ids.dtype.kind == "u" else np.unique(ids[ids >= 0])
        known = np.isin(ids, true)
        hits += known.sum()
        if not known.all():
            limit = distances(given.metric, base, query, true).max()
            limit += 1e-6 * abs(limit) + 1e-12
            hits += (distances(given.metric, base, query, ids[~known].astype(np.int64)) <= limit).sum()
    return float(hits) / truth.size


def resident():
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * 4096
    except OSError:
        return None


def measure(name, given, threads):
    """One peer, in this process."""
    import numpy as np
    base, queries, truth = np.load(given.base), np.load(given.queries), np.load(given.truth)
    subject = {"engine": name, "device": "cpu", "threads": threads, "m": given.m,
               "ef_construction": given.ef_construction, "precision": "f32", "round": given.round}
    say = lambda kind, **more: print(json.dumps({"kind": kind, **subject, **more}), flush=True)
    peer = PEERS[name]()
    before, start = resident(), time.perf_counter()
    peer.build(base, given, threads)
    seconds = time.perf_counter() - start
    after = resident()
    say("build", seconds=seconds, distances=None, hops=None, resident_bytes=max(after - before, 0) if after else None,
        device_bytes=None, device_peak_bytes=None, sound=None)

    seen = {}

    def recall_at(effort):
        if effort not in seen:
            peer.set_effort(effort)
            seen[effort] = recall(given, base, queries, truth, peer.search(queries, given.k, threads))
        return seen[effort]

    def smallest_effort(target):
        low, most = EFFORTS
        if recall_at(low) >= target:
            return low
        step = 2 * low
        while step < most and recall_at(step) < target:
            low, step = step, 2 * step
        high = min(step, most)
        if recall_at(high) < target:
            return None
        while high - low > max(low // 64, 1):
            middle = (low + high) // 2
            low, high = (low, middle) if recall_at(middle) >= target else (middle, high)
        return high

    def point(effort, target):
        found = recall_at(effort)
        peer.set_effort(effort)
        peer.search(queries[:WARM_UP], given.k, threads)
        rates, began = [], time.perf_counter()
        while not rates or (len(rates) < PASSES and time.perf_counter() - began < PASSES_TIME):
            start = time.perf_counter()
            peer.search(queries, given.k, threads)
            rates.append(len(queries) / (time.perf_counter() - start))
        for query in queries[:WARM_UP]:
            peer.search(query[None], given.k, 1)
        times, began = [], time.perf_counter()
        for query in queries[:SINGLES]:
            start = time.perf_counter()
            peer.search(query[None], given.k, 1)
            times.append((time.perf_counter() - start) * 1e6)
            if time.perf_counter() - began > 1:
                break
        say("point", ef=effort or None, target=target, batch=len(queries), recall=found, qps=float(np.median(rates)),
            p50_us=float(np.percentile(times, 50)), p99_us=float(np.percentile(times, 99)), distances=None, hops=None, bytes=None)

    if getattr(peer, "exact", False):
        return point(0, None)
    for ef in given.ef:
        point(max(ef, given.k), None)
    for target in given.recall:
        effort = smallest_effort(target)
        if effort:
            point(effort, target)


def main():
    numbers = lambda kind: lambda text: [kind(part) for part in text.split(",") if part]
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("base", "queries", "truth"):
        arguments.add_argument(f"--{name}", required=True)
    arguments.add_argument("--metric", required=True, choices=["euclidean", "cosine", "dot"])
    arguments.add_argument("--k", type=int, required=True)
    arguments.add_argument("--m", type=numbers(int), required=True)
    arguments.add_argument("--ef-construction", type=int, required=True)
    arguments.add_argument("--ef", type=numbers(int), required=True)
    arguments.add_argument("--recall", type=numbers(float), required=True)
    arguments.add_argument("--threads", type=numbers(int), required=True)
    arguments.add_argument("--round", type=int, required=True)
    arguments.add_argument("--one", help=argparse.SUPPRESS)
    given = arguments.parse_args()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    if given.one:
        given.m = given.m[0]
        threads = given.threads[0]
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
        return measure(given.one, given, threads)
    words = [word for word in sys.argv[1:]]
    for name in os.environ.get("BENCH_PEERS", "hnswlib,faiss-hnsw").split(","):
        if name not in PEERS:
            sys.exit(f"no peer {name!r}: there are {', '.join(PEERS)}")
        for threads in given.threads:
            for m in given.m:
                threads = threads or cores
                env = {**os.environ, "OMP_NUM_THREADS": str(threads), "OPENBLAS_NUM_THREADS": str(threads)}
                # What stands last counts.
                own = [sys.executable, __file__, *words, "--one", name, "--threads", str(threads), "--m", str(m)]
                done = subprocess.run(own, stderr=subprocess.PIPE, text=True, env=env)
                if done.returncode:
                    reason = (done.stderr.strip().splitlines() or ["it did not say why"])[-1]
                    print(json.dumps({"kind": "failed", "engine": name, "round": given.round, "reason": reason}), flush=True)


if __name__ == "__main__":
    main()
