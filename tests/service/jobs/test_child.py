"""What a driver and its workers inherit."""

from service.jobs.child import child_environment


def test_a_driver_inherits_what_it_needs_and_no_secret() -> None:
    needed = {
        "PATH": "/bin",
        "HOME": "/root",
        "CUDA_VISIBLE_DEVICES": "0",
        "OMP_NUM_THREADS": "1",
        "RHOBUST_LOG_LEVEL": "DEBUG",
        "RHOBUST_CHECKPOINTS_DIR": "/kept",
        "RHOBUST_DATASETS_DIR": "/data",
        "XDG_DATA_HOME": "/share",
        "RAY_TMPDIR": "/tmp",  # noqa: S108  (a value like any other)
    }
    secrets = dict.fromkeys(
        (
            "RHOBUST_API_KEY",
            "RHOBUST_API_KEY_FILE",
            "RHOBUST_DATABASE_URL",
            "RHOBUST_DATABASE_URL_FILE",
            "RHOBUST_WEBHOOK_ALLOW",
            "PGPASSWORD",
            "PGPASSFILE",
            "DATABASE_URL",
            "AWS_SECRET_ACCESS_KEY",
            "GITHUB_TOKEN",
            "HTTPS_PROXY",
            "SOMETHING_NEW",
        ),
        "hidden",
    )
    assert child_environment(needed | secrets) == needed
