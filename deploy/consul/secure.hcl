# Consul with access control, TLS and encrypted gossip, for docker-compose.secure.yml. Keys and tokens are in a file
# of their own, secrets.hcl, which make-secrets writes.
acl {
  enabled                  = true
  default_policy           = "deny"
  enable_token_persistence = true
}

ports {
  http  = -1
  https = 8501
}

tls {
  defaults {
    ca_file         = "/consul/secure/ca.pem"
    cert_file       = "/consul/secure/consul.pem"
    key_file        = "/consul/secure/consul.key"
    verify_outgoing = true
  }
  # Between agents both sides show certificates; clients of the API need none, they have tokens.
  internal_rpc {
    verify_incoming        = true
    verify_server_hostname = true
  }
}
