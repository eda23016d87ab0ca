"""`hookline simulate`: send made-up callbacks as the vendor would, and keep a ledger of answers."""
