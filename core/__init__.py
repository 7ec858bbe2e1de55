"""Domain types, the plugin API, policy, dispatch, accounts and tools."""
