# One Consul server on one machine, as the demo and the tests run it: it answers on the loopback
# only, elects itself, and keeps its data over a restart. The ports are given on the command line:
#
#   consul agent -config-file deploy/consul/agent.hcl -data-dir /some/where -http-port 8500 …
#
# It has no ACLs and no TLS: nothing to expose beyond the machine.
server           = true
bootstrap_expect = 1
bind_addr        = "127.0.0.1"
client_addr      = "127.0.0.1"

# Stopping the agent for a while must not deregister what it knows.
leave_on_terminate      = false
skip_leave_on_interrupt = true

disable_update_check = true

ports {
  grpc     = -1
  serf_wan = -1
}

connect {
  enabled = false
}

performance {
  raft_multiplier = 1 # elects within a second or two
}
