"""The contract with readers as data: the source of docs/contract/ and of the page `/contract`."""
