"""What the stages that combine share: members as values, what each adds and costs."""
