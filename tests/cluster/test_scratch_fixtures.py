import json
import pytest

GPU = {"spark.executor.resource.gpu.amount": "2"}

@pytest.fixture(scope="module")
def spark_conf():
    return GPU

def test_gpu(standalone, standalone_cluster):
    from pyspark.resource import ResourceProfileBuilder, TaskResourceRequests
    sc = standalone.sparkContext
    def where(it):
        import os, sys, time
        from pyspark import BarrierTaskContext, TaskContext
        c = TaskContext.get()
        r = {k: list(v.addresses) for k, v in c.resources().items()}
        time.sleep(1)
        return [(sys.executable, os.environ.get("CUDA_VISIBLE_DEVICES"), os.environ.get("HOPSLITE_TEST_SESSION"), r, os.environ.get("SPARK_EXECUTOR_DIRS"))]
    print(sc.parallelize(range(2), 2).mapPartitions(where).collect())
    profile = ResourceProfileBuilder().require(TaskResourceRequests().cpus(1).resource("gpu", 1)).build
    try:
        got = sc.parallelize(range(2), 2).withResources(profile).mapPartitions(where).collect()
        print("PROFILE", got)
        addresses = [a for g in got for a in g[3]["gpu"]]
        assert len(set(addresses)) == 2
        assert {a[0] for a in addresses} == {"1", "2"}
    except Exception as e:
        print("ERR", e)
        raise
    print(json.dumps(standalone_cluster.status(), indent=1)[:3000])
