"""The ledger: every command's entry, sealed into one Merkle log per workspace, verifiable by an outsider."""
