"""What a page is made of: each public function draws one part."""
