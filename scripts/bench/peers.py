"""Peers: the other servers, as private installs below .tools/ that no package manager and no service knows of."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

XIU = "0.14.0"
DEBIAN = ["nginx", "libnginx-mod-rtmp"]


def say(text):
    print(f"bench: {text}", file=sys.stderr, flush=True)


def nginx(tools):
    """Debian's nginx with its RTMP module, downloaded and unpacked: (binary, module, version), or None."""
    root = tools / "nginx"
    binary, module = root / "usr/sbin/nginx", root / "usr/lib/nginx/modules/ngx_rtmp_module.so"
    version = root / "version"
    if not version.exists():
        if not shutil.which("apt-get"):
            return None
        debs = tools / "nginx-debs"
        debs.mkdir(parents=True, exist_ok=True)
        say(f"fetching {' and '.join(DEBIAN)} from Debian into {root}")
        try:
            subprocess.run(["apt-get", "download", "-qq", *DEBIAN], cwd=debs, check=True)
            for deb in debs.glob("*.deb"):
                subprocess.run(["dpkg", "-x", deb, root], check=True)
        except subprocess.CalledProcessError:
            say("that failed (would `apt-get update` help?)")
            return None
        names = sorted(deb.name.split("_")[0] + " " + deb.name.split("_")[1] for deb in debs.glob("*.deb"))
        shutil.rmtree(debs)
        version.write_text(", ".join(names).replace("%3a", ":"))
    return binary, module, version.read_text()


def xiu(tools):
    """xiu from its crate: (binary, version), or None."""
    root = tools / "xiu"
    binary = root / "bin/xiu"
    if not binary.exists():
        if not shutil.which("cargo"):
            return None
        say(f"building xiu {XIU} into {root}; this takes minutes, once")
        # Its own target directory: nothing of ours is rebuilt for it.
        environment = {**os.environ, "CARGO_TARGET_DIR": str(tools / "xiu-target")}
        command = ["cargo", "install", "--quiet", "--locked", "--version", XIU, "--root", root, "xiu"]
        failed = subprocess.run(command, env=environment).returncode
        shutil.rmtree(tools / "xiu-target", ignore_errors=True)
        if failed:
            return None
    return binary, XIU


def srs():
    """SRS, where it is installed or SRS says where it is: (binary, version), or None."""
    binary = os.environ.get("SRS") or shutil.which("srs")
    if not binary or not Path(binary).exists():
        return None
    told = subprocess.run([binary, "-v"], capture_output=True, text=True)
    return Path(binary), (told.stdout + told.stderr).strip().splitlines()[-1]
