"""Programs that write the pages of the documentation which the code itself tells: specs, REST, commands, client."""
