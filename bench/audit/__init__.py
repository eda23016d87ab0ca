"""What an audit costs, compared with reading the topic alone."""
