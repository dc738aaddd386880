"""What people and machines read of the store: nothing here is read back by what measures and judges."""
