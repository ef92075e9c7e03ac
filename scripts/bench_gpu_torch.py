"""What scripts/bench-gpu measures by torch and cuVS, where they are: roofs, exact search, a CAGRA index."""
import time

K = 10


def roofs():
    """Copy bandwidth (bytes read and written), f32 and bf16 matrix rates, and a launch with its readback; None without a GPU or torch."""
    try:
        import torch
    except ImportError:
        return None
    if not torch.cuda.is_available():
        return None
    torch.backends.cuda.matmul.allow_tf32 = False

    def best(work, rounds=10):
        work()
        times = []
        for _ in range(rounds):
            torch.cuda.synchronize()
            start = time.perf_counter()
            work()
            torch.cuda.synchronize()
            times.append(time.perf_counter() - start)
        return sorted(times)[len(times) // 2]

    source = torch.empty(2**30, dtype=torch.float32, device="cuda").normal_()
    target = torch.empty_like(source)
    copy = 2 * source.numel() * 4 / best(lambda: target.copy_(source))
    del source, target
    size = 8192
    rates = {}
    for name, kind in (("f32", torch.float32), ("bf16", torch.bfloat16)):
        a, b = (torch.randn(size, size, device="cuda", dtype=kind) for _ in range(2))
        rates[name] = 2 * size**3 / best(lambda: a @ b)
    one = torch.ones(1, device="cuda")
    trip = best(lambda: (one + 1).item(), 200)
    return {"copy_bytes_per_s": copy, "f32_flops": rates["f32"], "bf16_flops": rates["bf16"], "round_trip_s": trip}


def unit(x):
    import numpy as np
    return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-30)


def exact(base, queries, metric):
    """The k nearest by torch on the GPU: (row numbers, seconds from host to host). None without a GPU."""
    try:
        import numpy as np, torch
    except ImportError:
        return None
    if not torch.cuda.is_available():
        return None
    torch.backends.cuda.matmul.allow_tf32 = False
    prepare_rows = unit if metric == "cosine" else (lambda x: x)
    rows = torch.from_numpy(prepare_rows(base.astype(np.float32))).cuda()
    asked = prepare_rows(queries.astype(np.float32))
    norms = (rows * rows).sum(1) if metric == "euclidean" else None
    block = max(1, min(len(asked), 2**31 // max(len(rows), 1) // 4))

    def search(k):
        found = []
        for low in range(0, len(asked), block):
            q = torch.from_numpy(asked[low:low + block]).cuda()
            score = q @ rows.T
            score = score * -2 + norms if norms is not None else -score
            found.append(score.topk(k, dim=1, largest=False).indices.cpu())
        return torch.cat(found).numpy()

    search(K)
    torch.cuda.synchronize()
    times = []
    for _ in range(3):
        start = time.perf_counter()
        search(K)
        times.append(time.perf_counter() - start)
    near = search(min(4 * K, len(base)))
    del rows
    torch.cuda.empty_cache()
    return near, sorted(times)[1]


def truth_of(base, queries, metric, near):
    """The k nearest among candidates, scored again in f64, ties by row number."""
    import numpy as np
    prepare_rows = unit if metric == "cosine" else (lambda x: x)
    rows, asked = prepare_rows(base.astype(np.float32)), prepare_rows(queries.astype(np.float32))
    exact = np.empty((len(queries), K), np.int64)
    for number, (query, some) in enumerate(zip(asked, near)):
        distance = ((rows[some].astype(np.float64) - query) ** 2).sum(1)
        exact[number] = some[np.lexsort((some, distance))[:K]]
    return exact


def cagra(base, queries, metric, truth):
    try:
        import cupy, numpy as np
        from cuvs.neighbors import cagra as index_kind
    except ImportError:
        return None
    rows = cupy.asarray(unit(base.astype(np.float32)) if metric == "cosine" else base.astype(np.float32))
    asked = unit(queries.astype(np.float32)) if metric == "cosine" else queries.astype(np.float32)
    start = time.perf_counter()
    index = index_kind.build(index_kind.IndexParams(metric="sqeuclidean"), rows)
    cupy.cuda.Device().synchronize()
    curve = {"build_s": time.perf_counter() - start, "points": []}
    for width in (16, 32, 64, 128, 256):
        params = index_kind.SearchParams(itopk_size=width)
        times = []
        for _ in range(4):
            start = time.perf_counter()
            _, ids = index_kind.search(params, index, cupy.asarray(asked), K)
            ids = cupy.asnumpy(cupy.asarray(ids))
            times.append(time.perf_counter() - start)
        recall = np.mean([len(np.intersect1d(a, b)) / K for a, b in zip(ids, truth)])
        curve["points"].append({"itopk": width, "recall": float(recall), "qps": len(asked) / sorted(times[1:])[1]})
    return curve
