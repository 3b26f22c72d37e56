"""The parts of the pages: each public function draws one."""
