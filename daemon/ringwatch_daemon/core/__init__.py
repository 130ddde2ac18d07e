"""What every part of the daemon shares: errors, records, ports, channels, the ledger."""
