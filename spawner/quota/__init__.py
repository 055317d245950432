"""Who may have how much: rules, the ledger of what was reserved and used, and the gate that a start passes."""
