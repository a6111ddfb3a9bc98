"""Headers of stores that no client is to see. nginx hides headers by name only, so they are listed.

Sources: the response headers of GetObject in the AWS S3 API reference, and what SeaweedFS, MinIO, Ceph and
proxies before them were seen to add.
"""

from __future__ import annotations

_AMZ = (
    "Abort-Date Abort-Rule-Id Archive-Status Bucket-Region Checksum-CRC32 Checksum-CRC32C Checksum-CRC64NVME "
    "Checksum-MD5 Checksum-SHA1 Checksum-SHA256 Checksum-SHA512 Checksum-Type Checksum-XXHASH3 "
    "Checksum-XXHASH64 Checksum-XXHASH128 Delete-Marker ETag Expiration Id-2 Meta-Owner Missing-Meta "
    "Mp-Parts-Count Object-Lock-Legal-Hold Object-Lock-Mode Object-Lock-Retain-Until-Date Object-Size Owner "
    "Replication-Status Request-Charged Request-Id Restore Server-Side-Encryption "
    "Server-Side-Encryption-Aws-Kms-Key-Id Server-Side-Encryption-Bucket-Key-Enabled "
    "Server-Side-Encryption-Context Server-Side-Encryption-Customer-Algorithm "
    "Server-Side-Encryption-Customer-Key-MD5 Storage-Class Tagging-Count Transition-Default-Minimum-Object-Size Owner "
    "Version-Id Website-Redirect-Location"
).split()
_OTHERS = (
    "Accept-Ranges Access-Control-Allow-Credentials Access-Control-Allow-Headers Access-Control-Allow-Methods "
    "Access-Control-Allow-Origin Access-Control-Expose-Headers Access-Control-Max-Age Age Alt-Svc "
    "Cache-Control CF-Cache-Status CF-Ray Content-Disposition Content-Encoding Content-Language Content-MD5 "
    "Content-Security-Policy Content-Type Expires Keep-Alive Link NEL P3P Pragma Referrer-Policy Report-To "
    "Server-Timing Set-Cookie Strict-Transport-Security Trailer Vary Via Warning "
    "X-Cache X-Content-Type-Options X-Frame-Options X-Minio-Deployment-Id X-Minio-Error-Code "
    "X-Minio-Error-Desc X-Powered-By X-Ratelimit-Limit X-Ratelimit-Remaining X-Request-Id X-Rgw-Object-Type "
    "X-Robots-Tag X-Served-By X-Varnish X-Xss-Protection Cross-Origin-Resource-Policy"
).split()
STORE_HEADERS = tuple(
    [f"X-Amz-{name}" for name in _AMZ] + [f"Seaweed-X-Amz-{name}" for name in _AMZ] + _OTHERS
)
