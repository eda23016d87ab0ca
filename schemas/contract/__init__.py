"""The contract with readers as data: what docs/contract/ and the page `/contract` are made of."""
