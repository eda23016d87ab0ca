"""Values of an ingress's `/status` that other processes compare."""

# `unready_because` of a process that ends.
STOPPING = "stopping"
# `forward_fault` until the first attempt to connect to Kafka has ended.
NOT_CONNECTED = "not connected yet"
# The hour of `/status?since=`, in UTC.
SINCE_FORMAT = "%Y-%m-%dT%H"
