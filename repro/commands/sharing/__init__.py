"""Commands that hand records to other people and their tools."""
