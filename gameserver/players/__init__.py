"""Who somebody is: identities, credentials, roles, devices, audit, and the life of a player's data."""
