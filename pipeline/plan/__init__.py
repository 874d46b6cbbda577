"""One budget of time: members that fit into it, and advice that is carried out."""
