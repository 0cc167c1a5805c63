# What weir needs: to read which instances there are, where they are, and how they do. Narrow the prefix to the
# services that it is to see; what it may not see does not exist for it.
service_prefix "" {
  policy = "read"
}
node_prefix "" {
  policy = "read"
}
