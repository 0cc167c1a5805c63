/* entities.h - the tables themselves, for entity.c's list. */
#ifndef MODEL_ENTITIES_H
#define MODEL_ENTITIES_H

struct entity;

extern const struct entity service_entity;
extern const struct entity route_entity;
extern const struct entity upstream_entity;
extern const struct entity target_entity;
extern const struct entity certificate_entity;
extern const struct entity sni_entity;
extern const struct entity ca_certificate_entity;
extern const struct entity health_order_entity;
extern const struct entity ticket_key_entity;
extern const struct entity acme_account_entity;
extern const struct entity acme_challenge_entity;
extern const struct entity acme_lease_entity;
extern const struct entity acme_failure_entity;
extern const struct entity acme_history_entity;
extern const struct entity consumer_entity;
extern const struct entity keyauth_credential_entity;
extern const struct entity basicauth_credential_entity;
extern const struct entity jwt_secret_entity;
extern const struct entity hmacauth_credential_entity;
extern const struct entity acl_entity;
extern const struct entity oauth2_credential_entity;
extern const struct entity plugin_entity;
extern const struct entity vault_entity;
extern const struct entity key_set_entity;
extern const struct entity key_entity;

#endif
