"""The API capabilities of this engine, with BuildKit's names. Clients do not use others.

(BuildKit's `solver/pb/caps.go` and `frontend/gateway/pb/caps.go`. One name is misspelt there, and
must be here.)
"""

from __future__ import annotations

LLB = (
    *("source.image", "source.image.resolvemode", "source.image.layerlimit"),
    *("source.image.checksum", "source.local", "source.local.unique", "source.local.sessionid"),
    *("source.local.includepatterns", "source.local.followpaths"),
    *("source.local.excludepatterns", "source.local.sharedkeyhint", "source.local.differ"),
    *("source.local.metadatatransfer", "exporter.session", "source.policy"),
    *("source.policy.session",),
    *("source.git", "source.git.keepgitdir"),
    *("source.git.fullurl", "source.git.httpauth", "source.git.knownsshhosts"),
    *("source.git.mountsshsock", "source.git.subdir", "source.git.checksum"),
    *("source.git.skipsubmodules", "source.git.mtime", "source.git.fetchbycommit"),
    *("source.git.bundle", "source.git.checkoutbundle"),
    *("source.http", "source.http.auth", "source.http.checksum", "source.http.perm"),
    *("soruce.http.uidgid", "source.http.header", "source.ocilayout", "source.imageblob"),
    *("source.buildop.llbfilename", "exec.meta.base", "exec.meta.cgroup.parent"),
    *("exec.meta.network", "exec.meta.proxyenv", "exec.meta.security"),
    *("exec.meta.setsdefaultpath", "exec.meta.ulimit", "exec.meta.cdi"),
    *("exec.meta.removemountstubs.recursive", "exec.meta.linux.resources"),
    *("exec.mount.bind", "exec.mount.bind.readwrite-nooutput", "exec.mount.cache"),
    *("exec.mount.cache.sharing", "exec.mount.selector", "exec.mount.tmpfs"),
    *("exec.mount.tmpfs.size", "exec.mount.secret", "exec.mount.ssh"),
    *("exec.mount.cache.content", "exec.cgroup", "exec.secretenv", "exec.validexitcode"),
    *("file.base", "file.rm.wildcard", "file.copy.includeexcludepatterns"),
    *("file.copy.requiredpaths", "file.rm.nofollowsymlink"),
    *("file.copy.alwaysreplaceexistingdestpaths", "file.copy.modestring", "file.symlink.create"),
    *("constraints", "platform", "meta.ignorecache", "meta.description", "meta.exportcache"),
    *("mergeop", "diffop", "passthroughop"),
    *("exporter.image.annotations", "exporter.image.attestations"),
    *("exporter.sourcedateepoch", "exporter.multiple", "gc.freespacefilter", "history.filter"),
)

FRONTEND = (
    *("solve.base", "solve.inlinereturn", "resolveimage", "resolveimage.resolvemode"),
    *("readfile", "return", "returnmap", "readdir", "statfile", "importcaches"),
    *("proto.refarray", "reference.output", "frontend.inputs", "gateway.solve.metadata"),
    *("frontend.caps", "gateway.solve.evaluate", "gateway.evaluate", "gateway.warnings"),
    *("reference.attestations", "source.metaresolver"),
    *("source.metaresolver.image.attestations", "source.metaresolver.http.checksumrequest"),
    *("gateway.exec", "gateway.exec.extrahosts", "gateway.exec.secretenv"),
    *("gateway.exec.signals", "gateway.exec.filesystem"),
)
