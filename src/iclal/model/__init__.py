"""The model wing: encoder, connector, frozen language model, and how they are joined."""
