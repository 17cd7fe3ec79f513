from benchmark.rayenv import RayOptions, prepare_ray_environment


def test_the_environment_of_ray_is_closed() -> None:
    environment = {"RAY_AUTH_MODE": "disabled", "HOME": "/home/me"}
    prepare_ray_environment(RayOptions(), environment)
    assert environment["RAY_AUTH_MODE"] == "token"
    assert environment["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] == "0"
    assert environment["RAY_USAGE_STATS_ENABLED"] == "0"
    assert environment["HOME"] == "/home/me"


def test_a_local_ray_has_a_token_of_its_own_and_a_cluster_its_operator_s() -> None:
    first: dict[str, str] = {}
    second: dict[str, str] = {}
    cluster: dict[str, str] = {}
    for environment in (first, second):
        prepare_ray_environment(RayOptions(), environment)
    prepare_ray_environment(RayOptions("10.0.0.1:6379"), cluster)
    assert len(first["RAY_AUTH_TOKEN"]) >= 32
    assert first["RAY_AUTH_TOKEN"] != second["RAY_AUTH_TOKEN"]
    assert "RAY_AUTH_TOKEN" not in cluster
    # its driver is known to the other machines by the address of its own, not by that of loopback
    assert cluster["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] == "1"
    again = dict(first)
    prepare_ray_environment(RayOptions(), again)
    assert again == first
