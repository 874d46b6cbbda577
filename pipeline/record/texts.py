"""What a user reads of a store in a bucket."""

from pipeline.core.language import _

CANNOT_WRITE = _("{bucket}: cannot be written: {reason}")
CANNOT_READ = _("{bucket}: cannot be read: {reason}")
CANNOT_REMOVE = _("{bucket}: files cannot be removed, which giving back a claim needs: {reason}")
BUCKET_REMEDY = (
    _("check the address (runtime.home), the network and the credentials in the environment; they need to list, read, "
    "write and delete below this address; results that are finished here are kept and sent by the next command")
)
NO_CONDITION = (
    _("{bucket}: a second write with `If-None-Match: *` replaced the first one, so two machines could build the same "
    "result without noticing")
)
NO_CONDITION_REMEDY = (
    _("use a bucket with conditional writes (Amazon S3, Google Cloud Storage, MinIO, Cloudflare R2), or a shared folder "
    "as runtime.home")
)
NOT_LISTED = _("{bucket}: a file that was just written is not in the list of files")
NOT_LISTED_REMEDY = _("use a bucket whose lists are current, or a shared folder as runtime.home")
PACKAGE_MISSING = _("runtime.home={scheme}://…: the package {package} is not installed")
PACKAGE_REMEDY = _("install it with `pip install 'podium[{extra}]'`")
DAMAGED = "%s %s in the bucket is damaged (%s): removed, built again"
NOT_SENT = "%s %s was finished here and is not in the bucket yet: it is sent now"
FREED = "freed %s %s from the local copy of the bucket: %.1f MB"
